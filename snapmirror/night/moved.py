"""Names that moved: their files are linked in the new snapshot, and neither sent nor stored again.

`Freed` guesses, by size, time, mode and owner, that a new name is a file of the newest snapshot that loses its name
tonight. The guessed files get their new names in a tree of their own, and rsync compares this tree with the source in a
dry run: contents by checksum, computed on each side from what the file holds now, and every attribute, extended ones
and ACLs included. Names that differ in nothing stay linked; all others are fetched. So a server that lies about size
and time gets nothing linked, and one that knows the right checksum gets a name for content that it had before. A file
that is damaged on the store is fetched again, since its checksum is another one.

16 bytes for each file come over the line, and nothing is written. The price is one more rsync, a few round trips: it is
paid only where more than that would be sent. A guess that is not worth it is fetched, and then linked if it has proved
right: it is sent again, but not stored again.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

from snapmirror import process
from snapmirror.config import MirrorConfig
from snapmirror.errors import TransferError
from snapmirror.model import NOTICE
from snapmirror.night.landing import Landed, Landing, Wanted, with_owner
from snapmirror.snapshots import checksums
from snapmirror.snapshots.entry import Entry, escape, is_within, parent, parse, path_of, unescape
from snapmirror.snapshots.freed import Freed
from snapmirror.snapshots.lines import Line
from snapmirror.snapshots.names import Tree, remove_tree, xattrs_of
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.slot import Target
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.staging import Arrived, carry
from snapmirror.sources.protocol import Into, Source

_LEAST_BYTES = 1 << 20  # of the guessed files of a batch
_BYTES_PER_SECOND = 4 << 20  # that a slow server reads; it is silent while it does
_ATTRIBUTES = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns")
_CHECKED = "check"
_DOING = "comparing moved files with {}"

log = logging.getLogger("snapmirror.moved")

_Guess = tuple[Wanted, bytes]  # a wanted name, and the path in the newest snapshot of what it may be


class Moves:
    """The moved names of one transfer. What is found is added to `landed`."""

    def __init__(
        self,
        mirror: MirrorConfig,
        source: Source,
        plan: Plan,
        target: Target,
        landed: Landed,
        advance: Callable[[int, int], None],
        watch: Callable[[], None],
    ) -> None:
        self._source, self._target, self._landed = source, target, landed
        self._advance, self._watch = advance, watch
        # A slot that is changed in place patches the very files that would be linked.
        usable = target.basis is not None and not target.in_place
        self._freed = Freed(plan) if usable else None
        groups = plan.groups if self._freed else ()
        self._grouped = {path_of(new) for group in groups for _, new in group if new is not None}
        self._can_compare = True
        self._done = Spool[Line, bytes]()  # lines of linked names; with the checksum, a blank, and the escaped old path
        self._trees: list[Path] = []
        self._later: dict[bytes, _Guess] = {}  # of the batch that is being fetched
        self._most = mirror.timeout_seconds * _BYTES_PER_SECOND or 1 << 60  # bytes of one comparison

    def without(self, batch: list[Wanted]) -> list[Wanted]:
        """Link the names of a batch that moved; return the others."""
        if not self._freed:
            return batch
        guesses = list(self._guesses(batch))
        self._later = {one.path: (one, old) for one, old in guesses}
        small = [guess for guess in guesses if guess[0].new.size <= self._most]
        if not self._can_compare or sum(one.new.size for one, _ in small) < _LEAST_BYTES:
            return batch
        moved = set[bytes]()
        for some in self._parts(small):
            if self._can_compare:
                moved |= self._linked(some)
        return [one for one in batch if one.path not in moved]

    def _guesses(self, batch: Sequence[Wanted]) -> Iterator[_Guess]:
        assert self._freed is not None
        for one in batch:
            if one.new.kind == b"f" and one.new.size and one.path not in self._grouped:
                old = self._freed.take(one.new.line)
                if old is not None:
                    yield one, old

    def _parts(self, guesses: Sequence[_Guess]) -> Iterator[list[_Guess]]:
        """Parts that a slow server reads within the time in which it may be silent."""
        part: list[_Guess] = []
        size = 0
        for guess in guesses:
            size += guess[0].new.size
            if part and size > self._most:
                yield part
                part, size = [], guess[0].new.size
            part.append(guess)
        if part:
            yield part

    def _linked(self, guesses: Sequence[_Guess]) -> Set[bytes]:
        """Link the guessed files, compare, and keep the names that are right."""
        assert self._target.basis is not None
        checked = self._target.staging / _CHECKED
        checked.mkdir(mode=0o700)
        basis, here = Tree(self._target.basis), Tree(checked)
        there = {one.path: (one, old) for one, old in guesses if _is_linked(basis, old, here, one.path)}
        same = self._compared(there, checked) if there else {}
        if self._can_compare:
            for one, _ in guesses:
                del self._later[one.path]
        tree = self._target.staging / str(len(self._landed.trees))
        if len(same) == len(there):
            checked.rename(tree)
        else:
            tree.mkdir(mode=0o700)
            final = Tree(tree)
            for path in same:
                carry(here, final, path)
            remove_tree(checked)
        self._trees.append(tree)
        self._landed.trees.append(Arrived(tree, frozenset()))
        for path, checksum in same.items():
            one, old = there[path]
            self._done.append((one.new.line, checksum + b" " + escape(old)))
            self._advance(1, one.new.size)
        return same.keys()

    def _compared(self, guesses: Mapping[bytes, _Guess], tree: Path) -> dict[bytes, bytes]:
        """The names whose files in the tree differ in nothing from the source, and their checksums."""
        target, same, differing = self._target, dict[bytes, bytes](), set[bytes]()
        into = Into(tree, target.names, scratch=None, partial=target.partial, contents=True)
        try:
            with self._source.fetch(list(guesses), into, doing=_DOING, tick=self._watch, dry_run=True) as fetch:
                for sent in fetch.arrived:
                    line = Line(sent.line)
                    path = path_of(line)
                    if (guess := guesses.get(path)) is None:
                        continue
                    planned = guess[0].new
                    if sent.is_same and sent.checksum and with_owner(line, planned) == planned.line:
                        same[path] = sent.checksum
                    else:
                        differing.add(path)
        except TransferError as error:  # a daemon may refuse checksums; if it is gone, the transfer says so
            log.log(NOTICE, "%s; they are fetched", error.message)
            self._can_compare = False
            return {}
        return {path: checksum for path, checksum in same.items() if path not in differing}

    def landed(self, landing: Landing) -> None:
        """A batch has ended: link the guessed files that have arrived as what they were guessed to be."""
        if not self._later or self._target.basis is None:
            return
        sums, here, basis = landing.checksums(), Tree(landing.tree), Tree(self._target.basis)
        for path in self._later.keys() & sums.keys():
            one, old = self._later.pop(path)
            with suppress(FileNotFoundError, NotADirectoryError):
                if _is_alike(here.at(path), basis.at(old)) and checksums.of_file(basis.at(old)) == sums[path]:
                    folder = parent(path)
                    before = here.attributes(folder)
                    linked = here.link(basis.at(old), path)
                    if before is not None:
                        here.set_attributes(folder, before)
                    if linked:
                        self._landed.new_bytes -= one.new.size
                        self._done.append((one.new.line, b" " + escape(old)))

    def settle(self, folders: Mapping[bytes, Wanted]) -> None:
        """The transfer has ended: note what was linked. `folders` are the planned ones.

        A name whose new folder has vanished meanwhile is gone with it. A file whose old name could not be read, and so
        stays, gets a copy: two names that the source has as two files must not be one.
        """
        landed = self._landed
        arrived = landed.folders.union(*(one.folders for one in landed.trees))
        lost = [path for path, one in folders.items() if one.old is None and path not in arrived]
        kept = frozenset(landed.kept_old)
        for line, rest in self._done:
            assert line is not None and rest is not None
            checksum, _, old = rest.partition(b" ")
            new = parse(line)
            if any(is_within(new.path, folder) for folder in lost):
                landed.corrections[line] = None
                landed.gone.add(new.path)
                landed.vanished.append(new.path)
                continue
            if checksum:  # else it was fetched, and is among them
                landed.checksums.append((checksum, escape(new.path)))
            landed.moved_names += 1
            landed.moved_bytes += new.size
            if unescape(old) in kept:
                self._copy(unescape(old), new)
        for tree in map(Tree, self._trees):
            for folder in lost:
                tree.remove_folder(folder)

    def _copy(self, old: bytes, new: Entry) -> None:
        """Give a name a file of its own, the same in everything."""
        assert self._target.basis is not None
        tree = next(tree for one in self._landed.trees if (tree := Tree(one.tree)).is_file(new.path))
        source, full, before = Tree(self._target.basis).at(old), tree.at(new.path), tree.attributes(parent(new.path))
        tree.unlink(new.path)
        process.run(["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", source, full])
        if before is not None:
            tree.set_attributes(parent(new.path), before)
        self._landed.new_bytes += new.size


def _is_linked(basis: Tree, old: bytes, tree: Tree, path: bytes) -> bool:
    """Give an old file its new name in a tree; False if that cannot be."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if basis.is_file(old):
            tree.make_folder(parent(path))
            if tree.link(basis.at(old), path):
                return True
            tree.unlink(path)  # a copy: the file has all the names that it may have
    return False


def _is_alike(one: bytes, other: bytes) -> bool:
    """Whether two files have the same attributes, extended ones and ACLs included. Raises FileNotFoundError."""
    first, second = os.lstat(one), os.lstat(other)
    return (
        stat.S_ISREG(first.st_mode)
        and first.st_nlink == 1  # no name of a hard link group
        and all(getattr(first, name) == getattr(second, name) for name in _ATTRIBUTES)
        and xattrs_of(one) == xattrs_of(other)
    )
