"""The guard on content: whether files that arrived tonight are random although the files that they replace were not.

Runs after the transfer and before anything is sealed, on a sample of the replaced files: those that changed in place,
and those that were deleted while a file of about their size was added beside them (`plan.xls.locked`). The new content
is read first, as it is still in memory; the old content is read only if much of the new looks random.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct, field

from snapmirror.config import MirrorConfig
from snapmirror.errors import ACCEPT, GuardError, ignored
from snapmirror.night import randomness
from snapmirror.snapshots.entry import parent, path_of, size_of
from snapmirror.snapshots.history import History
from snapmirror.snapshots.lines import is_file, unnumbered
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan, classify

_SAMPLE = 128
_FEWEST = 20
"""With fewer replaced plain files the guard decides nothing."""
_POOL = 4096  # of each kind; the sample is drawn from these
_HOPELESS = 8  # give up after so many old files if none has turned random
_GROWTH = 8192  # bytes that an encrypted file may be longer, for its keys
_PADDING = 64
_ENDINGS = 3  # that may have been added to a name
T = TypeVar("T")
_File = tuple[bytes, int]  # path and size


class Replaced(Struct, frozen=True):
    """A file of the newest snapshot, and the file that replaces it."""

    old: bytes
    new: bytes


class Verdict(Struct):
    """Of the files that were read: those that had been plain, and those of them that have turned random."""

    plain: int = 0
    scrambled: list[bytes] = field(default_factory=list)


def check(mirror: MirrorConfig, history: History, slot: Path, plan: Plan) -> None:
    """Raises GuardError when more of the files replaced in the tree `slot` than `max_scrambled` have turned random."""
    limit, snapshots = mirror.guard.max_scrambled, history.snapshots()
    counts = plan.counts
    if limit >= 1 or not snapshots or counts["updated"] + min(counts["added"], counts["deleted"]) < _FEWEST:
        return
    chosen = sample(plan, random.SystemRandom())
    if len(chosen) < _FEWEST:
        return
    found = look(chosen, history.mounted(snapshots[0]), slot, limit)
    if found.plain >= _FEWEST and len(found.scrambled) > limit * found.plain:
        names = ", ".join(repr(os.fsdecode(path)) for path in found.scrambled[:3])
        raise GuardError(
            f"{len(found.scrambled)} of {found.plain} replaced files, in a sample of {len(chosen)}, hold random data "
            f"where they held none, as if encrypted: more than max_scrambled = {limit:.0%} allows",
            hint=f"look at them on the server, and stop what does that: {names}; history has their last versions; "
            f"{ACCEPT}",
        )


def sample(plan: Plan, rng: random.Random, most: int = _SAMPLE) -> list[Replaced]:
    """Some files that a plan replaces, in any order."""
    pool = _Pool[Replaced](rng)
    for before, after in plan.pairs():
        if before is not None and after is not None and is_file(after):
            old = unnumbered(before)
            if is_file(old) and size_of(after) >= randomness.FEWEST and classify(before, after) == "updated":
                path = path_of(after)
                pool.add(Replaced(path, path))
    for one in _renamed(plan, rng):
        pool.add(one)
    rng.shuffle(pool.kept)
    return pool.kept[:most]


class _Pool(Generic[T]):
    """A random sample of many, each equally likely."""

    def __init__(self, rng: random.Random) -> None:
        self.kept: list[T] = []
        self._rng, self._seen = rng, 0

    def add(self, one: T) -> None:
        self._seen += 1
        if len(self.kept) < _POOL:
            self.kept.append(one)
        elif (place := self._rng.randrange(self._seen)) < _POOL:
            self.kept[place] = one


def _renamed(plan: Plan, rng: random.Random) -> Iterator[Replaced]:
    """Deleted files, each with an added one: by name and size, or by size alone in the same folder."""
    gone = _Pool[_File](rng)
    for line in plan.delete:
        old = unnumbered(line)
        if is_file(old):
            gone.add((path_of(old), size_of(old)))
    if not gone.kept:
        return
    folders = {parent(path) for path, _ in gone.kept}
    last_names = {_last(path) for path, _ in gone.kept}
    beside: dict[bytes, list[_File]] = {}  # by folder
    by_name: dict[bytes, list[_File]] = {}  # by a path without its endings, or a last name
    for before, after in plan.pairs():
        if before is None and after is not None and is_file(after):
            one = path_of(after), size_of(after)
            if parent(one[0]) in folders:
                beside.setdefault(parent(one[0]), []).append(one)
                for name in _without_endings(one[0]):
                    by_name.setdefault(name, []).append(one)
            elif (last := _last(one[0])) in last_names:
                by_name.setdefault(last, []).append(one)
    taken: set[bytes] = set()
    alone: dict[bytes, list[_File]] = {}
    for path, size in gone.kept:
        heirs = (one for name in (path, *_without_endings(path), _last(path)) for one in by_name.get(name, ()))
        heir = next((new for new, there in heirs if new not in taken and _fits(size, there)), None)
        if heir is None:
            alone.setdefault(parent(path), []).append((path, size))
        else:
            taken.add(heir)
            yield Replaced(path, heir)
    for folder, files in alone.items():
        yield from _by_size(files, [one for one in beside.get(folder, ()) if one[0] not in taken])


def _without_endings(path: bytes) -> Iterator[bytes]:
    """`d/x` of `d/x.doc`: ransomware makes it `d/x.doc.locked`, or `d/x.locked`."""
    for _ in range(_ENDINGS):
        path, dot, ending = path.rpartition(b".")
        if not dot or b"/" in ending or not _last(path):
            return
        yield path


def _by_size(gone: list[_File], came: list[_File]) -> Iterator[Replaced]:
    """Pairs of about the same size; each file is in at most one."""
    waiting = iter(sorted(came, key=lambda one: one[1]))
    new = next(waiting, None)
    for path, size in sorted(gone, key=lambda one: one[1]):
        while new is not None and new[1] < size - _PADDING:
            new = next(waiting, None)
        if new is not None and _fits(size, new[1]):
            yield Replaced(path, new[0])
            new = next(waiting, None)


def _fits(old: int, new: int) -> bool:
    return old >= randomness.FEWEST and old - _PADDING <= new <= old + _GROWTH


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def look(chosen: list[Replaced], before: Path, after: Path, limit: float) -> Verdict:
    """Read the new and the old content; the old content only as long as the limit can still be reached."""
    old, new, verdict = Tree(before), Tree(after), Verdict()
    suspects: list[tuple[Replaced, list[bytes], int]] = []
    for one in chosen:
        windows, size = read(new, one.new)
        if randomness.looks_scrambled(windows):
            suspects.append((one, windows, size))
        elif windows and randomness.is_plain(windows[0]):
            verdict.plain += 1
    for looked, (one, windows, size) in enumerate(suspects):
        could = len(verdict.scrambled) + len(suspects) - looked
        if could <= limit * (verdict.plain + len(suspects) - looked) or (looked >= _HOPELESS and not verdict.scrambled):
            break
        was, _ = read(old, one.old, like=size)
        if randomness.was_scrambled(was, windows):
            verdict.scrambled.append(one.new)
            verdict.plain += 1
    return verdict


def read(tree: Tree, path: bytes, *, like: int | None = None) -> tuple[list[bytes], int]:
    """A few places of a file, its head first, and its size; nothing if there is no such file. With `like`, the places
    are those of a file of that size.
    """
    with suppress(OSError), ignored():
        handle = os.open(tree.at(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
                places = _places(status.st_size if like is None else like)
                return [os.pread(handle, randomness.WINDOW, place) for place in places], status.st_size
        finally:
            os.close(handle)
    return [], 0


def _places(size: int) -> list[int]:
    """The places to read: the head, and up to three different places after it."""
    step = size // 4 // randomness.WINDOW * randomness.WINDOW
    return [0, step, 2 * step, 3 * step] if step else [0]
