"""Handles of a snapshot's new names, so that the next slots need not look them up in its tree.

    s1.83ea000091c02b11 /
    i1.0220ea0057221af8 etc/fstab
    d755.0.0.1795313842000000000 etc/

One file for each snapshot, packed as checksums are: a name's inode by its file handle; a folder without extended
attributes by mode, owner, group, and time in nanoseconds. The first line is the handle of the folder that holds the
file: in a copy of a store, made on the same file system, the handles lead to the inodes of the original.

The number before a manifest's entry tells which file to read. Recycling a slot costs as much as its changes; looking up
each change in the newest tree would double the reads.

They are hints, and their folder on the disk has that name: if one is missing, or leads to something other than the
manifest says, the name is looked up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec.structs import replace

from snapmirror import files
from snapmirror.errors import DamageError
from snapmirror.snapshots import packed
from snapmirror.snapshots.entry import BadLine, Entry, escape, unescape
from snapmirror.snapshots.folder_attributes import asked_for
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.names import FolderAttributes, Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.spool import Spool
from snapmirror.tools import handles as file_handles

_MOST = 20_000  # names: for a night with more, handles would save little
_SECOND = 1_000_000_000
_STORE = b"/"  # not a name in a tree


def write(layout: HardlinkLayout, plan: Plan) -> None:
    """Write the handles of the names that a plan has brought into the slot."""
    file = layout.handles(plan.sequence)
    if plan.requested + len(plan.links) > _MOST or not file_handles.are_lasting(layout.slot):
        file.unlink(missing_ok=True)  # the file of a failed night
        return
    slot, found = Tree(layout.slot), Spool[bytes, bytes]()
    with suppress(OSError):
        found.append((_store(layout), _STORE))
    for path in asked_for(plan):
        with suppress(OSError):  # it has vanished, or this file system has no handles
            found.append((_hint(slot, path), escape(path)))
    files.write(file, packed.pack(found))


def _hint(slot: Tree, path: bytes) -> bytes:
    full, folder = slot.at(path), slot.attributes(path)
    if folder is None:
        return b"i" + file_handles.handle_of(full)
    if os.listxattr(full):
        return b"-"
    return b"d%o.%d.%d.%d" % (folder.mode, folder.uid, folder.gid, folder.mtime_ns)


def _store(layout: HardlinkLayout) -> bytes:
    return b"s" + file_handles.handle_of(os.fsencode(layout.handles(0).parent))


class Handles:
    """The handles of a mirror, read when they are needed. `beside` is a descriptor of its file system. See `Known`."""

    def __init__(self, layout: HardlinkLayout, beside: int, *, usable: bool) -> None:
        self._layout, self._beside, self._usable = layout, beside, usable
        self._read: dict[int, dict[bytes, bytes]] = {}
        self._store: bytes | None = None
        with suppress(OSError):
            self._store = _store(layout)

    def _of(self, number: int, path: bytes) -> bytes:
        if number not in self._read:
            self._read[number] = {}
            with suppress(DamageError):
                found = packed.read(self._layout.handles(number), "hints file")
                read = {unescape(name): hint for hint, name in found}
                if self._store is not None and read.get(_STORE) == self._store:
                    self._read[number] = read
        return self._read[number].get(path, b"-")

    def folder(self, number: int, wanted: Entry) -> FolderAttributes | None:
        """The attributes of a folder that has no extended ones; None if they are not known."""
        hint = self._of(number, wanted.path)
        with suppress(ValueError, BadLine):  # nor are they known if the manifest has an impossible time
            if hint[:1] == b"d":
                mode, uid, gid, mtime = hint[1:].split(b".")
                known = FolderAttributes(int(mode, 8), int(uid), int(gid), int(mtime), int(mtime))
                told = (wanted.mode, wanted.uid, wanted.gid, wanted.mtime)
                if told == (known.mode, known.uid, known.gid, known.mtime_ns // _SECOND):
                    return known
        return None

    def link(self, number: int, wanted: Entry, slot: Tree) -> bool:
        """Link an entry's inode to its name in the slot; False if the handle does not lead to it."""
        hint = self._of(number, wanted.path)
        if not self._usable or hint[:1] != b"i":
            return False
        try:
            with file_handles.opened(hint[1:], self._beside) as inode:
                if not _is(wanted, os.fstat(inode)):
                    return False
                source = b"/proc/self/fd/%d" % inode
                os.link(source, slot.at(wanted.path), src_dir_fd=self._beside, follow_symlinks=True)
                return True
        except OSError:
            return False  # whatever it is, the look-up by name reports it, if it still exists


@contextmanager
def opened(layout: HardlinkLayout) -> Iterator[Handles]:
    """The handles of a mirror that has a slot."""
    descriptor = os.open(layout.slot, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield Handles(layout, descriptor, usable=file_handles.are_lasting(layout.slot))
    finally:
        os.close(descriptor)


def _is(wanted: Entry, status: os.stat_result) -> bool:
    """Whether an inode matches the manifest. (Of a symlink, the length of the target: the inode has no name here.)"""
    from snapmirror.snapshots.verify.attributes import Rules, differing  # not at every start, counted in milliseconds

    if wanted.kind == b"L":
        if status.st_size != wanted.size:
            return False
        wanted = replace(wanted, target=None)
    return not any(differing(wanted, status, b"", Rules()))
