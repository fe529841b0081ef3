"""Making the slot: a tree that is equal to the newest snapshot, sharing every inode but the folders'.

Three ways, by what there is: `copied` (cp --archive --link) while nothing has expired yet; `recycled` from an expired
snapshot, of which two manifests tell what differs; and `repaired`, by walking both trees, when a run has failed in
between and nothing is sure. All three may be interrupted at any point: what they leave is repaired by the next run.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from snapmirror import process
from snapmirror.errors import StorageError
from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import join, parent
from snapmirror.snapshots.hardlink import names
from snapmirror.snapshots.manifest import PREFIX, Reader
from snapmirror.snapshots.merge import differences, link_differences

_POLL_SECONDS = 0.1


class Stopped(Exception):  # noqa: N818
    """The run is ending; the slot is left as it is, to be repaired."""


@dataclass
class Prepared:
    """What is known of a slot that is ready.

    `copies` are names whose inode is a copy because the old one has all the names it can have. `leftovers` are names
    of an interrupted night's files, by inode: no snapshot knows these inodes. `strange_folders` came with them. `lost`
    counts names that the newest snapshot lacks although its manifest lists them.
    """

    copies: set[bytes] = field(default_factory=set)
    leftovers: dict[int, list[bytes]] = field(default_factory=dict)
    strange_folders: list[bytes] = field(default_factory=list)
    lost: int = 0


def copied(newest: Path, slot: Path, stop: Event) -> Prepared:
    """Make the slot as a copy of the newest snapshot's names."""
    argv: list[process.Argument] = ["cp", "--archive", "--link", "--no-target-directory", "--", newest, slot]
    with process.running(argv, capture=False) as child:
        while True:
            try:
                code = child.wait(_POLL_SECONDS)
                break
            except process.ProgramTimeout:
                if stop.is_set():
                    raise Stopped from None
        complaint = child.stderr_tail()
    if code == 0:
        return Prepared()
    if b"Too many links" in complaint:
        return repaired(newest, slot, stop)
    last = complaint.decode("utf-8", "backslashreplace").strip().splitlines()[-1:] or [f"exit code {code}"]
    raise StorageError(f"the new slot could not be made: {last[0]}", hint="look at the space and the log of the store")


def recycled(expired: Reader, newest: Reader, tree: Path, slot: Path, stop: Event) -> Prepared:
    """Turn the slot, which is the expired snapshot's tree, into the newest's: only names that differ are touched."""
    prepared = Prepared()
    pairs = list(differences(expired, newest.plain(), numbers=newest.numbers))
    pairs += link_differences(expired.links, newest.links)
    here, there = os.fsencode(slot), os.fsencode(tree)
    touched: set[bytes] = set()
    folders_gone: list[bytes] = []
    for old, new in pairs:
        if old is None:
            continue
        _check(stop)
        before = entry.parse(old[PREFIX:])
        if before.is_directory:
            if new is None:
                folders_gone.append(before.path)
                touched.add(parent(before.path))
        else:
            names.unlink(join(here, before.path))
            touched.add(parent(before.path))
    for path in reversed(folders_gone):
        names.remove_folder(join(here, path))
    for old, new in pairs:
        if new is None:
            continue
        _check(stop)
        after = entry.parse(new[PREFIX:])
        touched.add(parent(after.path))
        if after.is_directory:
            touched.add(after.path)
            if old is None:
                names.make_folder(join(here, after.path))
            continue
        try:
            if not names.link(join(there, after.path), join(here, after.path)):
                prepared.copies.add(after.path)
        except (FileNotFoundError, NotADirectoryError):
            prepared.lost += 1
    # A folder that is gone keeps no attributes: what stands in its place may be a symlink, of the server's choice.
    for path in sorted(touched.difference(folders_gone)):
        names.copy_folder_attributes(there, here, path)
    return prepared


def repaired(tree: Path | None, slot: Path, stop: Event) -> Prepared:
    """Turn whatever the slot is into the newest snapshot's tree, but keep what an interrupted night has fetched.

    A file is such a leftover if none of its names is a snapshot's: all of them are found in the slot. Without a
    snapshot (`tree` None) everything in the slot is one.
    """
    prepared = Prepared()
    strangers: dict[int, tuple[int, list[bytes]]] = {}
    folders: list[bytes] = []
    here, there = os.fsencode(slot), os.fsencode(tree) if tree else None
    _repair_folder(here, there, b".", prepared, strangers, folders, stop)
    fixes: list[bytes] = []
    for inode, (links, paths) in strangers.items():
        if links == len(paths):
            prepared.leftovers[inode] = paths
        else:
            fixes.extend(paths)
    restore(tree, slot, fixes, prepared)
    if there is not None:
        for path in folders:
            names.copy_folder_attributes(there, here, path)
    return prepared


def restore(tree: Path | None, slot: Path, paths: list[bytes], prepared: Prepared) -> None:
    """Give names in the slot the inode that they have in the newest snapshot, or remove them if they have none."""
    here = os.fsencode(slot)
    for path in paths:
        names.unlink(join(here, path))
        if tree is None:
            continue
        source = join(os.fsencode(tree), path)
        try:
            if not stat.S_ISDIR(os.lstat(source).st_mode) and not names.link(source, join(here, path)):
                prepared.copies.add(path)
        except (FileNotFoundError, NotADirectoryError):
            continue


def _repair_folder(
    here: bytes,
    there: bytes | None,
    path: bytes,
    prepared: Prepared,
    strangers: dict[int, tuple[int, list[bytes]]],
    folders: list[bytes],
    stop: Event,
) -> None:
    """One folder of the slot against its twin. Inode numbers come with the names: nothing unchanged is looked at."""
    _check(stop)
    have = _entries(join(here, path))
    want = _entries(join(there, path)) if there is not None else {}
    if there is not None:
        folders.append(path)
    below = b"" if path == b"." else path + b"/"
    for name, found in have.items():
        wanted = want.get(name)
        if found.is_dir(follow_symlinks=False):
            if wanted is not None and wanted.is_dir(follow_symlinks=False):
                continue
            prepared.strange_folders.append(below + name)
            _repair_folder(here, None, below + name, prepared, strangers, folders, stop)
        elif wanted is None or wanted.inode() != found.inode():
            status = found.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                strangers.setdefault(status.st_ino, (status.st_nlink, []))[1].append(below + name)
            else:
                restore(Path(os.fsdecode(there)) if there else None, Path(os.fsdecode(here)), [below + name], prepared)
    for name, wanted in want.items():
        if wanted.is_dir(follow_symlinks=False):
            found_here = have.get(name)
            if found_here is None or not found_here.is_dir(follow_symlinks=False):
                names.make_folder(join(here, below + name))
            _repair_folder(here, there, below + name, prepared, strangers, folders, stop)
        elif name not in have:
            assert there is not None
            if not names.link(join(there, below + name), join(here, below + name)):
                prepared.copies.add(below + name)


def _entries(folder: bytes) -> dict[bytes, os.DirEntry[bytes]]:
    try:
        with os.scandir(folder) as found:
            return {one.name: one for one in found}
    except PermissionError:
        os.chmod(folder, 0o700)
        with os.scandir(folder) as found:
            return {one.name: one for one in found}


def _check(stop: Event) -> None:
    if stop.is_set():
        raise Stopped
