"""One damaged file: its names, the inodes that they really have, and what a good inode must be."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct, field

from snapmirror import process
from snapmirror.snapshots import checksums
from snapmirror.snapshots.entry import Entry, parent
from snapmirror.snapshots.heal.families import Family
from snapmirror.snapshots.history import Place
from snapmirror.snapshots.names import Tree, copy_xattrs
from snapmirror.snapshots.verify.attributes import Rules, differing
from snapmirror.snapshots.verify.findings import MODE, OWNER, TIME
from snapmirror.tools.filesystems import sync

_SECOND = 1_000_000_000


class Inode(Struct):
    """An inode under names of the family. `content`: its content is right; `right`: everything is."""

    number: int
    full: bytes
    status: os.stat_result
    names: int = 1
    content: bool = False
    wrong: frozenset[str] = frozenset()

    @property
    def right(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.content and not self.wrong


class Case(Struct):
    """A family with damage. `problem` is why it cannot be healed, if that is known yet."""

    family: Family
    checksum: bytes | None
    kinds: tuple[str, ...] = ()
    problem: str | None = None
    places: list[Place] = field(default_factory=list)
    inodes: dict[int, Inode] = field(default_factory=dict)

    @property
    def entry(self) -> Entry:
        """The manifest's entry for its newest name."""
        return self.family.members[0].entry

    def look(self, trees: dict[str, Tree], rules: Rules) -> None:
        """Read and judge the inodes of its names."""
        if self.entry.kind != b"f" or self.problem:
            self.problem = self.problem or "it is no file; put it right by hand"
            return
        if self.checksum is None:
            self.problem = "its checksum is not known"
            return
        if len({(member.entry.attributes) for member in self.family.members}) > 1:
            self.problem = "the manifests disagree about it"
            return
        for member in self.family.members:
            tree, path = trees[member.snapshot.id], member.entry.path
            if not _can_stand(tree, path):
                self.problem = "its folder is missing, or a folder is in its place"
                return
            self.places.append(Place(tree, path, member.snapshot.id))
            with suppress(FileNotFoundError):
                status = os.lstat(tree.at(path))
                if status.st_ino in self.inodes:
                    self.inodes[status.st_ino].names += 1
                elif stat.S_ISREG(status.st_mode):
                    self.inodes[status.st_ino] = self._judged(Inode(status.st_ino, tree.at(path), status), rules)

    def _judged(self, inode: Inode, rules: Rules) -> Inode:
        inode.wrong = frozenset(kind for kind, _ in differing(self.entry, inode.status, inode.full, rules))
        with suppress(OSError):
            inode.content = inode.status.st_size == self.entry.size and checksums.of_file(inode.full) == self.checksum
        return inode

    def best(self, candidates: Sequence[Inode]) -> Inode | None:
        """The candidate with the most names."""
        return max(candidates, key=lambda inode: inode.names, default=None)

    @property
    def good(self) -> Inode | None:
        """An intact inode of the family: the other names need only be linked to it."""
        return self.best([inode for inode in self.inodes.values() if inode.right])

    @property
    def own_content(self) -> Inode | None:
        """An inode of the family with the right content and wrong attributes."""
        return self.best([inode for inode in self.inodes.values() if inode.content])

    def make(self, source: bytes, new: bytes, rules: Rules, *, with_attributes: bool) -> None:
        """Make the healed file `new` from the content of `source`, flushed. Raises OSError; sets `problem`.

        Attributes that are not in the manifest (fractions of seconds, extended attributes, ACLs) come from the damaged
        file, or from `source` if it has them and there is no damaged one.
        """
        with suppress(FileNotFoundError):
            os.unlink(new)
        process.run(["cp", "--reflink=auto", "--no-target-directory", "--", source, new])
        template = self.best(list(self.inodes.values()))
        model = template.full if template else source if with_attributes else None
        status = os.lstat(model) if model is not None else None
        wrong = template.wrong if template else frozenset({MODE, OWNER, TIME})
        kept = rules.owners or rules.fake_super  # otherwise owners were never kept, and manifests are wrong about them
        owner = (self.entry.uid, self.entry.gid) if rules.owners and OWNER in wrong else None
        if owner is None and template is not None:
            owner = (template.status.st_uid, template.status.st_gid)
        if owner is not None and owner != _owner(new):
            os.chown(new, *owner)
        if model is not None:
            copy_xattrs(model, new)
        elif rules.fake_super:
            claim = b"%o 0,0 %d:%d" % (stat.S_IFREG | self.entry.mode, self.entry.uid, self.entry.gid)
            os.setxattr(new, b"user.rsync.%stat", claim)
        mode = self.entry.mode if kept else self.entry.mode & 0o1777
        if template is not None and (MODE not in wrong or rules.fake_super):
            mode = stat.S_IMODE(template.status.st_mode)
        elif rules.fake_super:
            mode = 0o600
        os.chmod(new, mode)
        seconds = self.entry.mtime * _SECOND
        fits = status is not None and self.entry.is_of(status.st_mtime_ns // _SECOND)
        os.utime(
            new, ns=(status.st_atime_ns if status else seconds, status.st_mtime_ns if status and fits else seconds)
        )
        sync(new)
        made = os.lstat(new)
        left = [detail for _, detail in differing(self.entry, made, new, rules)]
        if checksums.of_file(new) != self.checksum:
            left.insert(0, "the copy has another checksum")
        if left:
            self.problem = f"no true copy could be made: {left[0]}"


def _can_stand(tree: Tree, path: bytes) -> bool:
    """Whether the folder of a name exists, and the name is not that of a folder."""
    return tree.is_folder(parent(path)) and not tree.is_folder(path)


def _owner(full: bytes) -> tuple[int, int]:
    status = os.lstat(full)
    return status.st_uid, status.st_gid
