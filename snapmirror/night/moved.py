"""Names that moved, and copies: their content is on the store already, and is neither sent nor stored again.

`Freed` guesses, by size, time, mode and owner, that a new name (or a new hard link group) is a file of the newest
snapshot that loses its name tonight, and `Originals` that it is a copy of one. The guessed files get their new names in
a tree of their own, and rsync compares this tree with the source in a dry run: contents by checksum, computed on each
side from what the file holds now, and every attribute, extended ones and ACLs included. Names that differ in nothing
stay linked, or get a copy that shares its blocks where the file system can do that; all others are fetched. So a server
that lies about size and time gets nothing linked, and one that knows the right checksum gets a name for content that it
had before. A file that is damaged on the store is fetched again, since its checksum is another one.

A file that a slow server could not read in time is cloned instead, where the file system can do that, and rsync patches
the clone: block checksums go up, and nothing comes.

16 bytes for each file come over the line, and nothing is written. The price is one more rsync, a few round trips: it is
paid only where more than that would be sent. A guess that is not worth it is fetched, and then linked if it has proved
right: it is sent again, but not stored again.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from snapmirror import process
from snapmirror.config import MirrorConfig
from snapmirror.errors import TransferError
from snapmirror.model import NOTICE
from snapmirror.night.landing import Landed, Landing, Wanted, with_owner
from snapmirror.snapshots import checksums
from snapmirror.snapshots.entry import Entry, escape, is_within, parent, parse, path_of
from snapmirror.snapshots.freed import Freed
from snapmirror.snapshots.lines import Line
from snapmirror.snapshots.names import Tree, remove_tree, xattrs_of
from snapmirror.snapshots.originals import Originals
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.slot import Target
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.staging import Arrived, carry
from snapmirror.sources.protocol import Into, Source
from snapmirror.tools.rsync_output import Sent

_LEAST_BYTES = 1 << 20  # of the guessed files of a batch
_BYTES_PER_SECOND = 4 << 20  # that a slow server reads; it is silent while it does
_ATTRIBUTES = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns")
_CHECKED = "check"
_DOING = "comparing moved files with {}"
_MOVED, _COPIED, _FETCHED = b"moved", b"copied", b"fetched"

log = logging.getLogger("snapmirror.moved")


class _Guess(Struct, frozen=True):
    """What a file may be: `old` in the newest snapshot. Its names, the leader first; `copy`: the old name stays."""

    names: tuple[Wanted, ...]
    old: bytes
    copy: bool = False

    @property
    def size(self) -> int:
        return self.names[0].new.size


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
        self._originals = Originals(plan, target.manifest) if usable and target.manifest is not None else None
        groups = plan.groups if self._freed else ()
        self._leaders = {path: paths[0] for paths in map(_paths, groups) for path in paths}
        self._can_compare = True
        self._done = Spool[Line, bytes]()  # lines of names that need no content, with what was done and the checksum
        self._trees: list[Path] = []
        self._later: dict[bytes, _Guess] = {}  # of the batch that is being fetched
        self.clones: set[bytes] = set()
        """Names that wait in the target with the blocks of what they may be, to be patched."""
        self._most = mirror.timeout_seconds * _BYTES_PER_SECOND or 1 << 60  # bytes of one comparison

    # --- before a batch is fetched

    def without(self, batch: list[Wanted]) -> list[Wanted]:
        """Link the names of a batch that moved; return the others."""
        if not self._freed and not self._originals:
            return batch
        guesses = list(self._guesses(batch))
        self._later = {one.names[0].path: one for one in guesses if len(one.names) == 1 and not one.copy}
        small = [one for one in guesses if one.size <= self._most]
        for one in guesses:
            if one.size > self._most and len(one.names) == 1 and self._clone(one):
                self._later.pop(one.names[0].path, None)  # its blocks are shared: linking it would cost a reading
        if sum(one.size for one in small) < _LEAST_BYTES:
            return batch
        moved = set[bytes]()
        for some in self._parts(small):
            if self._can_compare:
                moved.update(self._settled(some))
        return [one for one in batch if one.path not in moved]

    def _guesses(self, batch: Sequence[Wanted]) -> Iterator[_Guess]:
        groups: dict[bytes, list[Wanted]] = {}
        for one in batch:
            if one.new.kind != b"f" or not one.new.size:
                continue
            if (group := self._leaders.get(one.path)) is not None:
                groups.setdefault(group, []).append(one)
            elif (old := self._freed.take(one.new.line) if self._freed else None) is not None:
                yield _Guess((one,), old)
            elif (old := self._originals.of(one.new.line) if self._originals else None) is not None:
                yield _Guess((one,), old, copy=True)
        for members in groups.values():
            members.sort(key=lambda one: one.new.leader is not None)
            old = self._freed.take(members[0].new.line) if self._freed else None
            if old is not None:
                yield _Guess(tuple(members), old)

    def _clone(self, guess: _Guess) -> bool:
        """Let rsync patch a clone of a file that a slow server could not read in time; False if that cannot be."""
        assert self._target.basis is not None
        path, waiting = guess.names[0].path, Tree(self._target.waiting)
        if path in self._target.ready:
            return False
        try:
            old = Tree(self._target.basis).at(guess.old)
            waiting.make_folder(parent(path))
            process.run(["cp", "--reflink=always", "--no-target-directory", "--", old, waiting.at(path)])
        except (FileNotFoundError, NotADirectoryError, process.ProgramFailed):  # most file systems have no clones
            waiting.unlink(path)
            return False
        self.clones.add(path)
        self._landed.sharing.append(path)
        return True

    def _parts(self, guesses: Sequence[_Guess]) -> Iterator[list[_Guess]]:
        """Parts that a slow server reads within the time in which it may be silent."""
        part: list[_Guess] = []
        size = 0
        for guess in guesses:
            size += guess.size * len(guess.names)
            if part and size > self._most:
                yield part
                part, size = [], guess.size * len(guess.names)
            part.append(guess)
        if part:
            yield part

    def _settled(self, guesses: Sequence[_Guess]) -> Iterator[bytes]:
        """Give the guessed files their new names, compare, and keep those that are right; return their names."""
        assert self._target.basis is not None
        checked = self._target.staging / _CHECKED
        checked.mkdir(mode=0o700)
        basis, here = Tree(self._target.basis), Tree(checked)
        there = [guess for guess in guesses if _link(basis, here, guess)]
        same = self._compared(there, checked) if there else {}
        if self._can_compare:
            for guess in guesses:
                self._later.pop(guess.names[0].path, None)
        right = [guess for guess in there if _is_right(guess, same)]
        moved, copied = [one for one in right if not one.copy], [one for one in right if one.copy]
        final = Tree(self._new_tree())
        for guess in moved:
            for one in guess.names:
                carry(here, final, one.path)
        if copied:
            for guess in there:
                if guess not in copied:
                    for one in guess.names:
                        here.unlink(one.path)
            _copy_tree(checked, self._new_tree(made=False))
        remove_tree(checked)
        for guess in right:
            for one in guess.names:
                what = _COPIED if guess.copy else _MOVED
                self._done.append((one.new.line, what + b" " + same[one.path].checksum))
                self._advance(1, 0 if one.new.leader is not None else one.new.size)
                yield one.path

    def _new_tree(self, *, made: bool = True) -> Path:
        tree = self._target.staging / str(len(self._landed.trees))
        if made:
            tree.mkdir(mode=0o700)
        self._trees.append(tree)
        self._landed.trees.append(Arrived(tree, frozenset()))
        return tree

    def _compared(self, guesses: Sequence[_Guess], tree: Path) -> dict[bytes, Sent]:
        """The names whose files in the tree differ in nothing from the source."""
        asked = {one.path: one.new for guess in guesses for one in guess.names}
        target, same, differing = self._target, dict[bytes, Sent](), set[bytes]()
        into = Into(tree, target.names, scratch=None, partial=target.partial, contents=True)
        try:
            with self._source.fetch(list(asked), into, doing=_DOING, tick=self._watch, dry_run=True) as fetch:
                for sent in fetch.arrived:
                    line = Line(sent.line)
                    path = path_of(line)
                    if (planned := asked.get(path)) is None:
                        continue
                    if sent.is_same and sent.checksum and _attributes(line, planned) == planned.attributes:
                        same[path] = sent
                    else:
                        differing.add(path)
        except TransferError as error:  # a daemon may refuse checksums; if it is gone, the transfer says so
            log.log(NOTICE, "%s; they are fetched", error.message)
            self._can_compare = False
            return {}
        return {path: sent for path, sent in same.items() if path not in differing}

    # --- after a batch was fetched

    def landed(self, landing: Landing) -> None:
        """A batch has ended: link the guessed files that have arrived as what they were guessed to be."""
        if not self._later or self._target.basis is None:
            return
        sums, here, basis = landing.checksums(), Tree(landing.tree), Tree(self._target.basis)
        for path in self._later.keys() & sums.keys():
            guess = self._later.pop(path)
            with suppress(FileNotFoundError, NotADirectoryError):
                full, old = here.at(path), basis.at(guess.old)
                if _is_alike(full, old) and checksums.of_file(old) == sums[path]:
                    with here.folder_kept(parent(path)):
                        linked = here.link(old, path)
                    if linked:
                        self._landed.new_bytes -= guess.size
                        self._done.append((guess.names[0].new.line, _FETCHED + b" " + sums[path]))

    # --- after the last batch

    def settle(self, folders: Mapping[bytes, Wanted]) -> None:
        """The transfer has ended: note what was done. `folders` are the planned ones.

        A name whose new folder has vanished meanwhile is gone with it. A file whose old name could not be read, and so
        stays, gets a copy: two names that the source has as two files must not be one.
        """
        landed = self._landed
        arrived = landed.folders.union(*(one.folders for one in landed.trees))
        lost = [path for path, one in folders.items() if one.old is None and path not in arrived]
        stays = self._inodes(landed.kept_old)
        for line, rest in self._done:
            assert line is not None and rest is not None
            what, _, checksum = rest.partition(b" ")
            new = parse(line)
            if what != _FETCHED and any(is_within(new.path, folder) for folder in lost):
                landed.corrections[line] = None
                landed.gone.add(new.path)
                landed.vanished.append(new.path)
                continue
            if what != _FETCHED:  # whose checksums are there already
                landed.checksums.append((checksum, escape(new.path)))
            size = new.size if new.leader is None else 0
            if what == _COPIED:
                landed.copied_names += 1
                landed.copied_bytes += size
                landed.sharing.append(new.path)
                landed.new_bytes += size
            else:
                landed.moved_names += 1
                landed.moved_bytes += size
                if stays:
                    self._part(new, stays)
        for tree in map(Tree, self._trees):
            for folder in lost:
                tree.remove_folder(folder)

    def _inodes(self, paths: Sequence[bytes]) -> set[int]:
        """The inodes of names in the newest snapshot."""
        if self._target.basis is None:
            return set()
        basis = Tree(self._target.basis)
        return {inode for path in paths if (inode := basis.inode(path)) is not None}

    def _part(self, new: Entry, stays: set[int]) -> None:
        """Give a name a file of its own, the same in everything, if its file is one of these."""
        tree = next(tree for one in self._landed.trees if (tree := Tree(one.tree)).is_file(new.path))
        if tree.inode(new.path) not in stays:
            return
        with tree.folder_kept(parent(new.path)):
            if new.leader is not None:
                tree.link(tree.at(new.leader), new.path)
                return
            full, copy = tree.at(new.path), self._target.staging / _CHECKED
            process.run(["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", full, copy])
            tree.replace(os.fsencode(copy), new.path)
        self._landed.new_bytes += new.size


def _paths(group: Sequence[tuple[bytes | None, Line | None]]) -> list[bytes]:
    return [path_of(new) for _, new in group if new is not None]


def _is_right(guess: _Guess, same: Mapping[bytes, Sent]) -> bool:
    """Whether all names of a guess are the same as on the source, as one file: any of them may be the first of it."""
    found = [same[one.path].is_further for one in guess.names if one.path in same]
    return len(found) == len(guess.names) and found.count(False) == 1


def _attributes(line: Line, planned: Entry) -> bytes:
    """The attributes of a line that rsync has printed."""
    return parse(with_owner(line, planned.line)).attributes


def _link(basis: Tree, tree: Tree, guess: _Guess) -> bool:
    """Give an old file its new names in a tree; False if that cannot be."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if basis.is_file(guess.old):
            for one in guess.names:
                tree.make_folder(parent(one.path))
                if not tree.link(basis.at(guess.old), one.path):  # a copy: the file has all the names that it may have
                    break
            else:
                return True
    for one in guess.names:
        tree.unlink(one.path)
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


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a tree with all attributes; each name becomes a file of its own, which shares blocks if it can."""
    how = ("--archive", "--no-preserve=links", "--reflink=auto", "--no-target-directory")
    process.run(["cp", *how, "--", source, target])
