"""Fetching what the plan names: the conversation with rsync, in batches.

rsync is asked for lists of at most `_BATCH` names: the time that it needs to check each name against the list grows
with the square of their number (its guard against a hostile server). Each batch carries the planned folders that its
names lie in, so that rsync sets their times after the last change; folders that are not in the plan are the store's to
put right. Each rsync fills a staging tree of its own, see `landing`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from snapmirror import files, process
from snapmirror.config import MirrorConfig
from snapmirror.snapshots.entry import parent
from snapmirror.snapshots.manifest import since_prefix
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.slot import Target
from snapmirror.snapshots.staging import carry
from snapmirror.sources import floods, settings, stall
from snapmirror.sources.landing import Landed, Landing, Wanted, what
from snapmirror.tools import rsync, rsync_output

_BATCH = 10_000
_COMPLAINTS = 100

Advance = Callable[[int, int], None]
"""Called with names and bytes that have landed since the last call."""


def fetch(mirror: MirrorConfig, plan: Plan, target: Target, advance: Advance, watch: Callable[[], None]) -> Landed:
    """Bring everything that the plan asks for into staging trees. `watch` is called now and then; it may raise.

    Raises TransferError or StorageError when the night cannot be published, because names came that nobody asked for
    among other reasons; what has landed stays for the next.
    """
    fetching = _Fetching(mirror, plan, target, advance, watch)
    for batch in _batches(plan):
        patched = batch if target.in_place else [one for one in batch if one.path in target.patch]
        whole = [] if target.in_place else [one for one in batch if one.path not in target.patch]
        for wanted, patch in ((whole, False), (patched, True)):
            if wanted:
                fetching.batch(wanted, patch=patch)
    fetching.root()
    fetching.finish()
    return fetching.landed


def _batches(plan: Plan) -> Iterator[list[Wanted]]:
    """The plan in batches, a hard link group always in one."""
    batch: list[Wanted] = []
    for unit in _units(plan):
        if unit[0].path == b".":
            continue  # see _Fetching.root
        if batch and len(batch) + len(unit) > _BATCH:
            yield batch
            batch = []
        batch.extend(unit)
    if batch:
        yield batch


def _units(plan: Plan) -> Iterator[list[Wanted]]:
    for pair in plan.transfer:
        yield [Wanted.of(pair)]
    for group in plan.groups:
        yield [Wanted.of(pair) for pair in group]


class _Fetching:
    """The batches of one transfer."""

    def __init__(
        self, mirror: MirrorConfig, plan: Plan, target: Target, advance: Advance, watch: Callable[[], None]
    ) -> None:
        self.mirror, self.target, self.advance, self.watch = mirror, target, advance, watch
        self.location = settings.location(mirror)
        self.number = since_prefix(plan.sequence)
        pairs = (pair for pair in plan.transfer if pair[1] is not None and pair[1][1:2] == b"d")
        self.folders = {one.path: one for one in map(Wanted.of, pairs)}
        self.landed = Landed()
        self.ahead = 0  # bytes of files still on their way that have been shown as progress

    def batch(self, wanted: list[Wanted], *, patch: bool) -> None:
        """Fetch some names. Raises what ends the night."""
        above = dict.fromkeys(parent(one.path) for one in wanted)
        leading = [folder for folder in above if folder in self.folders and folder != b"."]
        folders = {
            path: self.folders[path] for path in [*leading, *(one.path for one in wanted if one.new.is_directory)]
        }
        listed = (
            rsync.listed_name(self.location, name) for name in dict.fromkeys([*leading, *(w.path for w in wanted)])
        )
        files.write(self.target.names, b"".join(name + b"\0" for name in listed))
        landing = self._landing(wanted, folders)
        self._hand_over(wanted, landing.tree)
        self._fetch(self.target.names, landing, patch=patch)
        self.target.names.unlink()

    def root(self) -> None:
        """Fetch the attributes of the root, which come last: all else changes its times."""
        if (root := self.folders.get(b".")) is not None:
            self._fetch(None, self._landing([root], {}), patch=False)

    def finish(self) -> None:
        """Nothing more will come."""
        self.landed.settle_folders(one for path, one in self.folders.items() if path != b".")

    def _landing(self, wanted: list[Wanted], folders: dict[bytes, Wanted]) -> Landing:
        """A new tree for the next rsync."""
        tree = self.target.staging / str(len(self.landed.trees))
        tree.mkdir(mode=0o700)
        keep = self.target.kept if self.target.in_place else None
        return Landing(self.mirror, self.number, tree, wanted, folders, keep)

    def _hand_over(self, wanted: list[Wanted], tree: Path) -> None:
        """What stands ready goes to the rsync that is asked for it."""
        if self.target.ready:
            here, there = Tree(self.target.waiting), Tree(tree)
            for one in wanted:
                if one.path in self.target.ready:
                    carry(here, there, one.path)

    def _fetch(self, names: Path | None, landing: Landing, *, patch: bool) -> None:
        token = secrets.token_hex(8)
        argv = rsync.transfer_argv(
            self.location, settings.options(self.mirror), names, landing.tree, basis=self.target.basis,
            scratch=self.target.scratch, partial=self.target.partial, patch=patch, token=token,
        )  # fmt: skip
        count = len(landing.missing)
        writable = (landing.tree, self.target.scratch, self.target.partial)
        with process.running(argv, memory=floods.memory(count + len(self.folders)), writable=writable) as child:
            flood = floods.MessageFlood(child, what=what(self.mirror), names=count)
            for raw in self._lines(child, flood):
                self._line(raw, token, landing)
            code, stderr = child.wait(), child.stderr_tail()
        self._judge(code, stderr)
        landing.end(code, self.landed)

    def _lines(self, child: process.Running, flood: floods.Flood) -> Iterator[bytes]:
        rest, seconds = b"", stall.patience(self.mirror)
        for chunk in stall.printed(child, 1 << 16, seconds=seconds, flood=flood, tick=self._look):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    def _look(self) -> None:
        """About every second: room on the store, and how far the file on its way has come."""
        self.watch()
        size = sum(floods.arriving(self.target.scratch))
        if size > self.ahead:
            self.advance(0, size - self.ahead)
            self.ahead = size

    def _line(self, raw: bytes, token: str, landing: Landing) -> None:
        sent = rsync_output.parse_sent(raw, token)
        if sent is None:
            self.landed.bytes += rsync_output.literal_bytes(raw)
            return
        size = landing.take(sent, self.landed)
        if size is not None:
            self.landed.new_bytes += size
            seen = min(self.ahead, size)
            self.ahead -= seen
            self.advance(1, size - seen)

    def _judge(self, code: int, stderr: bytes) -> None:
        """Go on, or raise what ends the night."""
        landed = self.landed
        if code not in {rsync_output.OK, rsync_output.PARTIAL, rsync_output.VANISHED} or rsync_output.is_full(stderr):
            raise rsync_output.failure(code, stderr, what(self.mirror))
        if code == rsync_output.VANISHED:
            landed.saw_vanishing = True
        if code == rsync_output.PARTIAL:
            if self.mirror.on_unreadable == "fail":
                raise rsync_output.failure(code, stderr, what(self.mirror))
            landed.partial = True
        landed.complaints = [*landed.complaints, *rsync_output.complaints(stderr, good=code == rsync_output.OK)][
            :_COMPLAINTS
        ]
