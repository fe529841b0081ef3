"""Finds the names that should be one inode, by the manifests: across snapshots, and in hard link groups.

A name keeps its inode from snapshot to snapshot as long as the number before it stays; a group joins names of one
snapshot. From one damaged name, both lead to every name with the same damage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from pathlib import Path

from msgspec import Struct, field

from snapmirror.snapshots.entry import Entry, escape
from snapmirror.snapshots.history import History
from snapmirror.snapshots.lines import holds_link, name_of
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.record import Snapshot

Key = tuple[int, bytes]
"""A number and a path: together they name an inode."""


class Member(Struct, frozen=True):
    """A name of a snapshot."""

    snapshot: Snapshot
    number: int
    entry: Entry

    @property
    def key(self) -> Key:
        """The key of its inode."""
        return self.number, self.entry.path


class Family(Struct):
    """Names that should be one inode, those of the newest snapshot first. For a folder, one inode in each snapshot."""

    members: list[Member] = field(default_factory=list)

    @property
    def keys(self) -> set[Key]:
        """All keys of this inode."""
        return {member.key for member in self.members}


def families(history: History, keys: Iterable[Key]) -> tuple[list[Family], list[str]]:
    """The families of these names, and the snapshots with damaged manifests, whose names are not known."""
    known, blind = set(keys), set[str]()
    while True:
        before = len(known)
        homes: dict[Key, set[Key]] = {}
        members: list[Member] = []
        for snapshot in history.snapshots():
            try:
                for group in groups(history.manifest(snapshot), known):
                    mine = {(number, entry.path) for number, entry in group}
                    home = mine.union(*(homes[key] for key in mine if key in homes))
                    homes.update(dict.fromkeys(home, home))
                    members += [Member(snapshot, number, entry) for number, entry in group]
            except DamagedManifest:
                blind.add(snapshot.id)
        known.update(homes)
        if len(known) == before:
            break
    found: dict[int, Family] = {}
    for member in members:
        found.setdefault(id(homes[member.key]), Family()).members.append(member)
    return list(found.values()), sorted(blind)


def groups(manifest: Path, known: Set[Key]) -> Iterator[list[tuple[int, Entry]]]:
    """The known entries of a manifest, each with its whole hard link group. Raises DamagedManifest."""
    names = {escape(path) for _, path in known}
    names |= {name + b"/" for name in names}  # the form of folders
    plain: dict[bytes, tuple[int, Entry]] = {}
    linked: dict[bytes, list[tuple[int, Entry]]] = {}
    reader = Reader(manifest)
    for line in reader:
        if holds_link(line):
            number, entry = reader.taken_apart(line)
            linked.setdefault(entry.leader or b"", []).append((number, entry))
        elif name_of(line) in names:
            number, entry = reader.taken_apart(line)
            plain[entry.path] = number, entry
    leaders = {
        leader
        for leader, rest in linked.items()
        if leader not in plain and any((number, entry.path) in known for number, entry in rest)
    }
    if leaders:
        texts = {escape(leader) for leader in leaders}
        again = reader.reopened()
        for line in again:
            if not holds_link(line) and name_of(line) in texts:
                number, entry = again.taken_apart(line)
                plain[entry.path] = number, entry
    for path, one in plain.items():
        group = [one, *linked.get(path, [])]
        if any((number, entry.path) in known for number, entry in group):
            yield group
