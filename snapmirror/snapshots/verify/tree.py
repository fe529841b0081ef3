"""Compares a snapshot's tree with its manifest: two streams in the same order, side by side.

Memory holds one folder's names at a time, and eight bytes for each file: its inode, to find names of a snapshot that
share an inode although the manifest lists separate ones.
"""

from __future__ import annotations

import errno
import os
import stat
from array import array
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from snapmirror.snapshots.entry import Entry, join, key_of
from snapmirror.snapshots.lines import Numbered, holds_link
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.verify.attributes import Rules, differing, kind_name
from snapmirror.snapshots.verify.findings import (
    EXTRA,
    LINKS,
    MANIFEST,
    MISSING,
    SIZE,
    TYPE,
    UNREADABLE,
    Finding,
    Report,
)


class Seen(Struct, frozen=True):
    """A name in the tree. `status` is None if it cannot be read."""

    key: bytes
    path: bytes
    status: os.stat_result | None


class Listed(Struct, frozen=True):
    """A name in the manifest."""

    key: bytes
    number: int
    entry: Entry


Visit = Callable[[Listed, os.stat_result], None]
"""Called for every name that is in its place, with the right type."""


class TreeCheck:
    """Compares one snapshot's tree with its manifest."""

    def __init__(self, snapshot: Snapshot, tree: Path, manifest: Path, rules: Rules, report: Report) -> None:
        self.snapshot, self.manifest, self.rules, self.report = snapshot, manifest, rules, report
        self.root = os.fsencode(tree)
        self.denied = 0
        self._inodes = array("Q")
        self._cover: dict[str, tuple[bytes, Finding]] = {}  # the last missing and the last extra folder
        self._halves: dict[bytes, list[Finding]] = {}
        self._blind = b"\2"  # the key of the last folder that could not be read; no key starts like this

    def run(self, visit: Visit, advance: Callable[[int], None]) -> None:
        """Compare everything; a damaged manifest ends it with a finding."""
        try:
            self._merge(visit, advance)
            self._find_joined()
        except DamagedManifest as damage:
            self._add(MANIFEST, None, damage.message)
        self._match_halves()

    def _add(self, kind: str, path: bytes | None, detail: str, number: int = 0) -> Finding:
        return self.report.add(self.snapshot.id, kind, path, detail, number)

    def _merge(self, visit: Visit, advance: Callable[[int], None]) -> None:
        names = self._walk()
        seen = next(names, None)
        count = 0
        for count, listed in enumerate(expected(self.manifest, self.snapshot), start=1):
            if count % 1000 == 0:
                advance(1000)
            while seen is not None and seen.key < listed.key:
                self._extra(seen)
                seen = next(names, None)
            if seen is not None and seen.key == listed.key:
                self._both(listed, seen, visit)
                seen = next(names, None)
            else:
                self._missing(listed)
            self.report.names += 1
        advance(count % 1000)
        while seen is not None:
            self._extra(seen)
            seen = next(names, None)

    # --- the tree

    def _walk(self) -> Iterator[Seen]:
        """Every name in the order of manifests: a folder's files, then its folders, each with everything below."""
        yield Seen(b"", b".", self._status(b"."))
        waiting: list[Iterator[Seen]] = [self._folder(b"", b".")]
        while waiting:
            seen = next(waiting[-1], None)
            if seen is None:
                waiting.pop()
                continue
            yield seen
            if seen.status is not None and stat.S_ISDIR(seen.status.st_mode):
                waiting.append(self._folder(seen.key, seen.path))

    def _folder(self, key: bytes, path: bytes) -> Iterator[Seen]:
        files: list[bytes] = []
        folders: list[bytes] = []
        try:
            with os.scandir(join(self.root, path)) as found:
                for one in found:
                    (folders if one.is_dir(follow_symlinks=False) else files).append(one.name)
        except OSError as error:
            self._unreadable(path, error)
            self._blind = key
        below = b"" if path == b"." else path + b"/"
        for name in sorted(files):
            yield Seen(key + b"\0" + name, below + name, self._status(below + name))
        for name in sorted(folders, key=lambda name: name + b"/"):
            yield Seen(key + b"\1" + name + b"/", below + name, self._status(below + name))

    def _status(self, path: bytes) -> os.stat_result | None:
        try:
            return os.lstat(join(self.root, path))
        except OSError as error:
            self._unreadable(path, error)
            return None

    def _unreadable(self, path: bytes, error: OSError) -> None:
        if error.errno in {errno.EACCES, errno.EPERM}:
            self.denied += 1  # not damage: this user may not read it
        else:
            self._add(UNREADABLE, path, error.strerror or str(error))

    # --- what is found

    def _both(self, listed: Listed, seen: Seen, visit: Visit) -> None:
        entry, status = listed.entry, seen.status
        if status is None:
            return
        found = list(differing(entry, status, join(self.root, entry.path), self.rules))
        for kind, detail in found:
            self._add(kind, entry.path, detail, listed.number)
        if any(kind == TYPE for kind, _ in found):
            return
        if not entry.is_directory:
            if entry.leader is None:
                self._inodes.append(status.st_ino)
            elif self._inode(entry.leader) not in {None, status.st_ino}:
                leader = os.fsdecode(entry.leader)
                self._add(LINKS, entry.path, f"is no longer a hard link to {leader!r}", listed.number)
        if not any(kind == SIZE for kind, _ in found):  # then the content differs anyway
            visit(listed, status)

    def _inode(self, path: bytes) -> int | None:
        try:
            return os.lstat(join(self.root, path)).st_ino
        except OSError:
            return None

    def _missing(self, listed: Listed) -> None:
        if not listed.key.startswith(self._blind) and not self._is_covered(MISSING, listed.key):
            entry = listed.entry
            finding = self._add(MISSING, entry.path, f"the {kind_name(entry.kind)} is not there", listed.number)
            self._note(MISSING, listed.key, entry.path, finding)

    def _extra(self, seen: Seen) -> None:
        if seen.status is not None and not self._is_covered(EXTRA, seen.key):
            what = "folder" if stat.S_ISDIR(seen.status.st_mode) else "name"
            finding = self._add(EXTRA, seen.path, f"a {what} that the snapshot never had")
            self._note(EXTRA, seen.key, seen.path, finding)

    def _is_covered(self, kind: str, key: bytes) -> bool:
        """Whether it is below a folder that is missing, or extra, as a whole."""
        cover = self._cover.get(kind)
        if cover is None or not key.startswith(cover[0]):
            return False
        cover[1].below += 1
        return True

    def _note(self, kind: str, key: bytes, path: bytes, finding: Finding) -> None:
        self._halves.setdefault(path, []).append(finding)
        if key.endswith(b"/") or not key:
            self._cover[kind] = key, finding

    def _match_halves(self) -> None:
        """Join both findings of a folder replaced by something else, or the reverse: it has two places in the order."""
        for path, halves in self._halves.items():
            if {half.kind for half in halves} == {MISSING, EXTRA}:
                gone = next(half for half in halves if half.kind == MISSING)
                for half in halves:
                    self.report.drop(half)
                finding = self._add(TYPE, path, gone.detail.replace("is not there", "has become something else"))
                finding.below = sum(half.below for half in halves)

    def _find_joined(self) -> None:
        """Find names that share a file although the manifest lists separate files."""
        inodes = sorted(self._inodes)
        self._inodes = array("Q")
        shared = {one for one, other in pairwise(inodes) if one == other}
        if not shared:
            return
        first: dict[int, bytes] = {}
        for listed in expected(self.manifest, self.snapshot):
            if listed.entry.is_directory or listed.entry.leader is not None:
                continue
            inode = self._inode(listed.entry.path)
            if inode in shared:
                other = first.setdefault(inode, listed.entry.path)
                if other != listed.entry.path:
                    self._add(LINKS, listed.entry.path, f"is a hard link to {os.fsdecode(other)!r}, and should not be")


def expected(manifest: Path, snapshot: Snapshot) -> Iterator[Listed]:
    """A manifest's entries in the order of names, links among the others. Raises DamagedManifest."""
    plain = Reader(manifest)
    if (plain.header.id, plain.header.sequence) != (snapshot.id, snapshot.sequence):
        raise DamagedManifest(f"the manifest {manifest} is that of {plain.header.id}, not of {snapshot.id}")
    ends = plain.reopened()
    for _ in ends.plain():  # the links are at the end
        pass
    later = (_listed(ends, line) for line in ends.links)
    link = next(later, None)
    previous = None
    for line in plain:
        if holds_link(line):
            continue
        listed = _listed(plain, line)
        if previous is not None and listed.key <= previous:
            raise DamagedManifest(f"the manifest {manifest} is out of order at {listed.entry.path!r}")
        previous = listed.key
        while link is not None and link.key < listed.key:
            yield link
            link = next(later, None)
        yield listed
    while link is not None:
        yield link
        link = next(later, None)


def _listed(reader: Reader, line: Numbered) -> Listed:
    number, entry = reader.taken_apart(line)
    return Listed(key_of(entry.path, is_directory=entry.is_directory), number, entry)
