"""Fetches the names of a plan from the source, in batches. The first night asks for the tree as a whole, see `whole`.

At most `_BATCH` names are requested at once: rsync checks each name against the list (its guard against a hostile
server), and the time for that grows with the square of their number. Each batch includes the planned folders above its
names, so that the source sets their times after the last change; the store restores the times of folders that are not
in the plan. Each batch fills a staging tree of its own, see `landing`.

Where rsync makes its temporary files matters: it (3.5.0) looks up an absolute folder for them from the root on, name by
name, four times for each file, which took half of the processor time of a first night. So small files get theirs beside
their own names. Big ones keep the scratch folder: their progress is seen there, and what a killed rsync leaves of them
is used by the next one.

A few names all use the scratch folder: XFS makes an inode near the folder of its first name, so a night's few new files
lie together, and not in as many blocks as there are folders. For 1,120 files in 210 folders, temporary files beside
their names read and wrote 4 % more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from snapmirror.config import MirrorConfig
from snapmirror.model import count
from snapmirror.night.landing import Landed, Landing, Wanted
from snapmirror.night.moved import Moves
from snapmirror.night.whole import Stream, Walk, settle
from snapmirror.snapshots.entry import parent, path_of, size_of
from snapmirror.snapshots.lines import is_directory, since_prefix
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.slot import Target
from snapmirror.snapshots.staging import carry
from snapmirror.sources import limits
from snapmirror.sources.protocol import Fetch, Into, Source, SupportsTrees

_BATCH = 10_000
_FEW = 2_000  # names for which a second run costs more than the look-ups
_BIG = 1 << 20  # bytes: so little may be sent again after a kill
_COMPLAINTS = 100
_DOING = "the transfer from {} stopped"

log = logging.getLogger("snapmirror.night")
Advance = Callable[[int, int], None]
"""Called with the numbers of names and bytes that have arrived since the last call."""


def fetch(
    mirror: MirrorConfig, source: Source, plan: Plan, target: Target, advance: Advance, watch: Callable[[], None]
) -> Landed:
    """Fetch everything that the plan requests into staging trees. `watch` is called now and then; it may raise.

    Raises TransferError or StorageError when the night cannot be published, for example because names arrived that were
    not requested; what has arrived stays for the next night.
    """
    fetching = _Fetching(mirror, source, plan, target, advance, watch)
    is_first = plan.old_entries == 0
    by_name = fetching.tree(source.whole, plan) if is_first and source.whole is not None else plan
    for requested, scratch in _batches(by_name):
        batch = fetching.moves.without(requested)
        to_patch = target.patch | fetching.moves.clones
        patched = batch if target.in_place else [one for one in batch if one.path in to_patch]
        whole = [] if target.in_place else [one for one in batch if one.path not in to_patch]
        for wanted, patch in ((whole, False), (patched, True)):
            if wanted:
                fetching.batch(wanted, patch=patch, scratch=scratch)
    fetching.root()
    fetching.finish()
    return fetching.landed


def _batches(plan: Plan) -> Iterator[tuple[list[Wanted], bool]]:
    """The plan in batches, a hard link group always in one; and whether temporary files are in the scratch folder."""
    if plan.requested <= _FEW:
        wanted = [one for unit in _units(plan) for one in unit]
        if wanted:
            yield wanted, True
        return
    batches: dict[bool, list[Wanted]] = {False: [], True: []}
    for unit in _units(plan):
        scratch = any(map(_is_big, unit))
        if batches[scratch] and len(batches[scratch]) + len(unit) > _BATCH:
            yield batches[scratch], scratch
            batches[scratch] = []
        batches[scratch].extend(unit)
    yield from ((batch, scratch) for scratch, batch in batches.items() if batch)


def _is_big(one: Wanted) -> bool:
    return one.new.size >= _BIG


def _units(plan: Plan) -> Iterator[list[Wanted]]:
    for one in map(Wanted.of, plan.transfer):
        if one.path != b".":  # see _Fetching.root
            yield [one]
    for group in plan.groups:
        yield [Wanted.of(pair) for pair in group]


class _Fetching:
    """The batches of one transfer."""

    def __init__(
        self,
        mirror: MirrorConfig,
        source: Source,
        plan: Plan,
        target: Target,
        advance: Advance,
        watch: Callable[[], None],
    ) -> None:
        self.mirror, self.source = mirror, source
        self.target, self.advance, self.watch = target, advance, watch
        self.number = since_prefix(plan.sequence)
        pairs = (pair for pair in plan.transfer if pair[1] is not None and is_directory(pair[1]))
        self.folders = {one.path: one for one in map(Wanted.of, pairs)}
        self.landed = Landed()
        self.moves = Moves(mirror, source, plan, target, self.landed, advance, watch)
        self.ahead = 0  # bytes of incomplete files that have been shown as progress

    def tree(self, source: SupportsTrees, plan: Plan) -> Plan:
        """Fetch the tree as a whole; return the rest, to be asked for by name. Raises the error that ends the night."""
        tree, stream = self._tree(), Stream(plan)
        below = None if self.target.in_place else _BIG
        if self.target.ready:
            small = (new for _, new in plan.pairs() if new is not None and (below is None or size_of(new) < below))
            self._hand_over(map(path_of, small), tree)
        into = replace(self._into(tree, patch=self.target.in_place, scratch=False), compare=bool(self.target.patch))
        with source.fetch_tree(into, names=plan.requested, below=below, doing=_DOING, tick=self._look) as fetch:
            for sent in fetch.arrived:
                self._has_arrived(stream.take(sent))
        self._note(fetch)
        stream.end()
        walk = Walk(plan, stream, tree, fake_super=self.mirror.fake_super)
        walk.walk()
        if walk.strays:
            log.info("%s: not listed, left for the next night: %s", self.mirror.name, count(walk.strays, "name"))
        folders = {one.path: one for one in walk.doubtful if one.new.is_directory}
        settle(walk, stream, self._landing(walk.doubtful, folders, tree), self.landed, doubtful=fetch.doubtful)
        return Plan(plan.id, plan.sequence, transfer=walk.missing, groups=walk.missing_groups)

    def batch(self, wanted: list[Wanted], *, patch: bool, scratch: bool) -> None:
        """Fetch some names. Raises the error that ends the night."""
        above = dict.fromkeys(parent(one.path) for one in wanted)
        leading = [folder for folder in above if folder in self.folders and folder != b"."]
        folders = {
            path: self.folders[path] for path in [*leading, *(one.path for one in wanted if one.new.is_directory)]
        }
        landing = self._landing(wanted, folders, self._tree())
        self._hand_over((one.path for one in wanted), landing.tree)
        names = list(dict.fromkeys([*leading, *(one.path for one in wanted)]))
        self._fetch(names, landing, patch=patch, scratch=scratch)
        self.moves.landed(landing)

    def root(self) -> None:
        """Fetch the attributes of the root, as the last step: all others change its times."""
        root = self.folders.get(b".")
        if root is not None and not any(b"." in one.folders for one in self.landed.trees):
            self._fetch(None, self._landing([root], {}, self._tree()), patch=False, scratch=False)

    def finish(self) -> None:
        """End the transfer."""
        self.moves.settle(self.folders)
        self.landed.settle_folders(one for path, one in self.folders.items() if path != b".")

    def _tree(self) -> Path:
        """A new tree for the next batch."""
        tree = self.target.staging / str(len(self.landed.trees))
        tree.mkdir(mode=0o700)
        return tree

    def _landing(self, wanted: list[Wanted], folders: dict[bytes, Wanted], tree: Path) -> Landing:
        keep = self.target.kept if self.target.in_place else None
        what, fake_super = _DOING.format(self.source), self.mirror.fake_super
        return Landing(what, self.number, tree, wanted, folders, keep, fake_super=fake_super)

    def _hand_over(self, wanted: Iterable[bytes], tree: Path) -> None:
        """Move files that were fetched before into the batch that requests them."""
        ready, clones = self.target.ready, self.moves.clones
        if ready or clones:
            here, there = Tree(self.target.waiting), Tree(tree)
            for path in wanted:
                if path in ready or path in clones:
                    carry(here, there, path)

    def _into(self, tree: Path, *, patch: bool, scratch: bool) -> Into:
        target = self.target
        return Into(
            tree, target.names, scratch=target.scratch if scratch else None, partial=target.partial,
            basis=target.basis, patch=patch,
        )  # fmt: skip

    def _fetch(self, names: Sequence[bytes] | None, landing: Landing, *, patch: bool, scratch: bool) -> None:
        into = self._into(landing.tree, patch=patch, scratch=scratch)
        with self.source.fetch(names, into, doing=_DOING, tick=self._look) as fetch:
            for sent in fetch.arrived:
                self._has_arrived(landing.take(sent, self.landed))
        self._note(fetch)
        landing.end(self.landed, partial=fetch.failure is not None)

    def _look(self) -> None:
        """Called about every second: checks the room on the store, and the progress of the incoming file."""
        self.watch()
        size = sum(limits.arriving(self.target.scratch))
        if size > self.ahead:
            self.advance(0, size - self.ahead)
            self.ahead = size

    def _has_arrived(self, size: int | None) -> None:
        """A name has arrived: a new file of that size, or a name that was known before (None)."""
        if size is not None:
            self.landed.new_bytes += size
            seen = min(self.ahead, size)
            self.ahead -= seen
            self.advance(1, size - seen)

    def _note(self, fetch: Fetch) -> None:
        """Note how a batch has ended. Raises the error that ends the night."""
        landed = self.landed
        if fetch.failure is not None:
            if self.mirror.on_unreadable == "fail":
                raise fetch.failure
            landed.partial = True
        landed.saw_vanishing = landed.saw_vanishing or fetch.saw_vanishing
        landed.bytes += fetch.bytes
        landed.saved += fetch.saved
        landed.complaints = list(dict.fromkeys([*landed.complaints, *fetch.complaints]))[:_COMPLAINTS]
