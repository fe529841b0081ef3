"""Searches all of history for a name: its versions, and the snapshots that hold each of them.

A version is an inode: two snapshots hold the same version of a name exactly if their manifests have the same number
before it (see `manifest`). Manifests are streamed; only the matches are kept.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator

from msgspec import Struct, field

from snapmirror.snapshots.entry import Entry, escape, parent
from snapmirror.snapshots.history import Catalogue
from snapmirror.snapshots.lines import holding
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.record import Snapshot

_WILD = re.compile(rb"[*?\[]")
_PLAIN_RUN = re.compile(rb"[^*?\[\]\\\x00-\x1f!]+")


class Version(Struct):
    """One version of a name, and the snapshots that hold it, newest first."""

    entry: Entry
    number: int
    snapshots: list[Snapshot] = field(default_factory=list)


class Search(Struct):
    """The result of a search: versions by path, newest first; and the manifests that could not be read."""

    found: dict[bytes, list[Version]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    searched: int = 0


class Pattern(Struct, frozen=True):
    """What to search for. `wanted` decides for a path; `sign` are bytes that every line of a wanted path contains."""

    wanted: Callable[[bytes], bool]
    sign: bytes = b""


def normal(path: bytes) -> bytes:
    """A path in the form of manifests: relative to the source, without `.`, doubled slashes and a slash at its end."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    return b"/".join(parts) or b"."


def is_pattern(text: bytes) -> bool:
    """Whether it holds `* ? [`."""
    return _WILD.search(text) is not None


def pattern_of(text: bytes, *, ignore_case: bool = False) -> Pattern:
    """A path, or with `* ? [` a pattern: matched against whole paths, or, without a slash, against last components.

    A star matches slashes as well. A name that looks like a pattern is found as well.
    """
    if ignore_case:
        folded = pattern_of(text.lower())
        return Pattern(lambda found: folded.wanted(found.lower()))
    path = normal(text)
    if not is_pattern(path):
        if b"/" in text or path == b".":
            return Pattern(lambda found: found == path, escape(path) if path != b"." else b"")
        return Pattern(lambda found: found.rpartition(b"/")[2] == path, escape(path))
    sign = max(_PLAIN_RUN.findall(_without_sets(path)), key=len, default=b"")
    if b"/" in path or text.startswith(b"/"):
        return Pattern(lambda found: found == path or fnmatch.fnmatchcase(found, path), sign)
    return Pattern(lambda found: fnmatch.fnmatchcase(found.rpartition(b"/")[2], path) or found == path, sign)


def _without_sets(pattern: bytes) -> bytes:
    """A pattern with stars for its [sets]: their content cannot be a sign."""
    return re.sub(rb"\[!?\]?[^\]]*\]?", b"*", pattern)


def search(
    history: Catalogue, pattern: Pattern, published: Callable[[], list[Snapshot]], advance: Callable[[], None]
) -> Search:
    """All versions of all wanted names. `advance` is called after each snapshot.

    `published` returns the snapshots published by now: a snapshot that has expired meanwhile is not damage.
    """
    search = Search()
    for snapshot in history.snapshots():
        search.searched += 1
        try:
            for number, entry in _matching(history, snapshot, pattern):
                _note(search.found.setdefault(entry.path, []), number, entry, snapshot)
        except DamagedManifest as damage:
            if snapshot in published():
                search.damaged.append(damage.message)
        advance()
    return search


def folder(history: Catalogue, snapshot: Snapshot, path: bytes) -> list[Entry]:
    """The entries directly in a folder of a snapshot, or the name itself if it is no folder. Raises DamagedManifest."""
    found: list[Entry] = []
    for _, entry in _matching(history, snapshot, Pattern(lambda one: one == path or parent(one) == path)):
        if entry.path == path and not entry.is_directory:
            return [entry]
        if entry.path not in (path, b"."):
            found.append(entry)
    return sorted(found, key=lambda one: one.path)


def _matching(history: Catalogue, snapshot: Snapshot, pattern: Pattern) -> Iterator[tuple[int, Entry]]:
    sign = pattern.sign
    reader = Reader(history.manifest(snapshot))
    for line in holding(reader, sign):
        number, entry = reader.taken_apart(line)
        if pattern.wanted(entry.path):
            yield number, entry


def _note(versions: list[Version], number: int, entry: Entry, snapshot: Snapshot) -> None:
    """Snapshots come newest first, so a version that continues is the last one noted."""
    last = versions[-1] if versions else None
    if last is None or last.number != number or last.entry.attributes != entry.attributes:
        versions.append(last := Version(entry, number))
    last.snapshots.append(snapshot)
