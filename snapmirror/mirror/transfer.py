"""Fetching what the plan names, and finding out what really landed.

rsync is asked for lists of at most `_BATCH` names: the time that it needs to check each name against the list grows
with the square of their number (its guard against a hostile server). Each batch carries the folders that its names lie
in, so that rsync sets their times after the last change.
"""

from __future__ import annotations

import logging
import os
import select
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from snapmirror import process
from snapmirror.config import MirrorConfig
from snapmirror.errors import SnapmirrorError
from snapmirror.snapshots.entry import Entry, join, parent, parse
from snapmirror.snapshots.manifest import since_prefix
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.protocol import Target
from snapmirror.tools import rsync

log = logging.getLogger("snapmirror.transfer")

_BATCH = 10_000
_COMPLAINTS = 100
_WATCH_SECONDS = 1.0


@dataclass
class Landed:
    """What a transfer has brought.

    `corrections` are for the manifest: planned lines (not numbered) with the numbered lines to stand instead, or None.
    `checksums` are of the new files whose content travelled; `unchecked` new files whose content did not.
    `kept_old` are names that could not be read and keep their last version; `vanished` were gone. `bytes` of content have travelled.
    """

    corrections: dict[bytes, bytes | None] = field(default_factory=dict)
    checksums: dict[bytes, bytes] = field(default_factory=dict)
    unchecked: list[bytes] = field(default_factory=list)
    kept_old: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    vanished: list[bytes] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    bytes: int = 0
    partial: bool = False


Advance = Callable[[int, int], None]
"""Called with names and bytes that have landed since the last call."""


def fetch(mirror: MirrorConfig, plan: Plan, target: Target, advance: Advance, watch: Callable[[], None]) -> Landed:
    """Bring everything that the plan asks for into the slot. `watch` is called now and then; it may raise.

    Raises TransferError or StorageError when the night cannot be published; what has landed stays for the next.
    """
    landed = Landed()
    for batch in _batches(plan, target):
        whole = [pair for pair in batch if pair.path not in target.patch]
        patched = [pair for pair in batch if pair.path in target.patch]
        for pairs, patch in ((whole, False), (patched, True)):
            if pairs:
                _fetch_batch(mirror, plan, target, pairs, patch, landed, advance, watch)
    return landed


@dataclass(frozen=True)
class _Wanted:
    """One name of a batch; `new` is None for a folder that is only to get its times back."""

    path: bytes
    old: bytes | None
    new: Entry | None


def _batches(plan: Plan, target: Target) -> Iterator[list[_Wanted]]:
    """The plan in batches, a hard link group always in one."""
    batch: list[_Wanted] = []
    for unit in _units(plan):
        if batch and len(batch) + len(unit) > _BATCH:
            yield batch
            batch = []
        batch.extend(unit)
    batch.extend(_Wanted(path, None, None) for path in sorted(target.folders))
    if batch:
        yield batch


def _units(plan: Plan) -> Iterator[list[_Wanted]]:
    def wanted(pair: Pair) -> _Wanted:
        old, new = pair
        assert new is not None
        after = parse(new)
        return _Wanted(after.path, old, after)

    for pair in plan.transfer:
        yield [wanted(pair)]
    for group in plan.groups:
        yield [wanted(pair) for pair in group]


def _fetch_batch(
    mirror: MirrorConfig,
    plan: Plan,
    target: Target,
    wanted: list[_Wanted],
    patch: bool,
    landed: Landed,
    advance: Advance,
    watch: Callable[[], None],
) -> None:
    by_path = {one.path: one for one in wanted if one.new is not None}
    planned = set(by_path)
    names = dict.fromkeys([*(parent(one.path) for one in wanted), *(one.path for one in wanted)])
    with tempfile.NamedTemporaryFile(prefix="snapmirror-names.") as file:
        file.write(b"".join(name + b"\0" for name in names))
        file.flush()
        argv = rsync.transfer_argv(
            mirror, Path(file.name), target.slot,
            basis=target.basis, scratch=target.scratch, partial=target.partial, patch=patch,
        )  # fmt: skip
        with process.running(argv) as child:
            for raw in _lines(child, watch):
                sent = rsync.parse_sent(raw)
                if sent is None:
                    landed.bytes += rsync.literal_bytes(raw)
                    continue
                entry = parse(sent.line)
                one = by_path.pop(entry.path, None)
                if one is not None:
                    _land(one, entry, sent, plan, landed, advance)
                elif entry.is_directory and entry.path not in planned:
                    _note_folder(sent.line, plan, landed)
            code, stderr = child.wait(), child.stderr_tail()
    _judge(code, stderr, mirror, landed)
    _settle_missing(list(by_path.values()), code, target, landed)


def _lines(child: process.Running, watch: Callable[[], None]) -> Iterator[bytes]:
    """What rsync prints, line by line; `watch` is called about every second, also while nothing is printed."""
    assert child.stdout is not None
    descriptor, rest, last = child.stdout.fileno(), b"", time.monotonic()
    while True:
        ready, _, _ = select.select([descriptor], [], [], _WATCH_SECONDS)
        if not ready or time.monotonic() - last > _WATCH_SECONDS:
            watch()
            last = time.monotonic()
        if ready:
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines


def _note_folder(line: bytes, plan: Plan, landed: Landed) -> None:
    """A folder that was only to get its times back has changed since it was listed: the manifest must say so."""
    if line not in plan.folders:
        tail = b"|" + line.split(b"|", 6)[6]
        for planned in plan.folders:
            if planned.endswith(tail) and planned.split(b"|", 6)[6] == tail[1:]:
                landed.corrections[planned] = since_prefix(plan.sequence) + line


def _land(one: _Wanted, entry: Entry, sent: rsync.Sent, plan: Plan, landed: Landed, advance: Advance) -> None:
    """Take note of one name that has landed, and of what it is if it has changed since it was listed."""
    assert one.new is not None
    size = entry.size if entry.kind == b"f" else 0
    if sent.line[1:] != one.new.line[1:] and (entry.kind != one.new.kind or entry.attributes != one.new.attributes):
        if entry.kind == one.new.kind == b"f":
            tail = one.new.line.split(b"|", 6)[6]
            line = one.new.line[:1] + entry.attributes + b"|" + tail
        else:
            line = b"." + sent.line[1:]
        landed.corrections[one.new.line] = since_prefix(plan.sequence) + line
    elif entry.kind == b"L" and entry.target is not None and entry.target != one.new.target and entry.leader is None:
        landed.corrections[one.new.line] = since_prefix(plan.sequence) + sent.line
    if entry.kind == b"f":
        if sent.checksum:
            landed.checksums[entry.path] = sent.checksum
        else:
            landed.unchecked.append(entry.path)
    advance(1, size)


def _judge(code: int, stderr: bytes, mirror: MirrorConfig, landed: Landed) -> None:
    """Go on, or raise what ends the night."""
    if code not in {rsync.OK, rsync.PARTIAL, rsync.VANISHED} or rsync.is_full(stderr):
        raise _failure(code, stderr, mirror)
    if code == rsync.PARTIAL:
        if mirror.on_unreadable == "fail":
            raise _failure(code, stderr, mirror)
        landed.partial = True
    landed.complaints = [*landed.complaints, *rsync.complaints(stderr)][:_COMPLAINTS]


def _failure(code: int, stderr: bytes, mirror: MirrorConfig) -> SnapmirrorError:
    return rsync.failure(code, stderr, f"the transfer from {mirror.source} stopped")


def _settle_missing(missing: list[_Wanted], code: int, target: Target, landed: Landed) -> None:
    """Names that did not land. After a read error the last version stays; otherwise they have vanished."""
    slot = os.fsencode(target.slot)
    for one in missing:
        assert one.new is not None
        place = join(slot, one.path)
        if one.new.is_directory:
            if one.old is not None:
                landed.corrections[one.new.line] = one.old
            elif not os.path.isdir(place):
                landed.corrections[one.new.line] = None
            continue
        if os.path.lexists(place):
            os.unlink(place)  # a clone that was not patched
        if code == rsync.PARTIAL:
            landed.unreadable.append(one.path)
            if one.old is not None and target.basis is not None:
                os.link(join(os.fsencode(target.basis), one.path), place, follow_symlinks=False)
                landed.corrections[one.new.line] = one.old
                landed.kept_old.append(one.path)
                continue
        else:
            landed.vanished.append(one.path)
        landed.corrections[one.new.line] = None
