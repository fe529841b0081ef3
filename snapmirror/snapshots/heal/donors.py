"""Finds the same content elsewhere in a mirror's own snapshots: by the checksums, and then by reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from msgspec import Struct

from snapmirror.errors import DamageError
from snapmirror.snapshots import checksums
from snapmirror.snapshots.heal.families import Key, groups
from snapmirror.snapshots.history import History
from snapmirror.snapshots.manifest import DamagedManifest
from snapmirror.snapshots.names import Tree


class Donor(Struct, frozen=True):
    """A file with the right content: `full` is its absolute path, `told` its place for people."""

    full: bytes
    told: str


def recorded(history: History, keys: Iterable[Key]) -> dict[Key, bytes]:
    """The checksums (in hexadecimal digits) of these names, as far as known."""
    by_number: dict[int, set[bytes]] = {}
    for number, path in keys:
        by_number.setdefault(number, set()).add(path)
    found: dict[Key, bytes] = {}
    for number, paths in by_number.items():
        for path, checksum in _of_snapshot(history, number):
            if path in paths:
                found[number, path] = checksum
    return found


def _of_snapshot(history: History, number: int) -> Iterator[tuple[bytes, bytes]]:
    """The checksums of a snapshot; none if the file is damaged, which has a finding of its own."""
    with suppress(DamageError):
        yield from checksums.read(history.checksums(number))


def donors(history: History, wanted: Mapping[bytes, int]) -> dict[bytes, Donor]:
    """A file for each of these contents (checksum and size), if there is one; it has been read and verified."""
    candidates: dict[Key, bytes] = {}
    for number in range(1, history.next_sequence()):
        for path, checksum in _of_snapshot(history, number):
            if checksum in wanted:
                candidates[number, path] = checksum
    found: dict[bytes, Donor] = {}
    read: set[int] = set()
    for snapshot in history.snapshots() if candidates else ():
        tree = Tree(history.tree(snapshot))
        with suppress(DamagedManifest):
            for group in groups(history.manifest(snapshot), candidates.keys()):
                for number, entry in group:
                    wants = candidates.get((number, entry.path))
                    inode = tree.inode(entry.path)
                    if wants is None or wants in found or entry.size != wanted[wants] or inode in {None, *read}:
                        continue
                    read.add(inode or 0)
                    with suppress(OSError):
                        if tree.is_file(entry.path) and checksums.of_file(tree.at(entry.path)) == wants:
                            name = entry.path.decode("utf-8", "backslashreplace")
                            found[wants] = Donor(tree.at(entry.path), f"{name} in {snapshot.id}")
    return found
