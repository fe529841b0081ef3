"""Looks up names of a snapshot in its manifest; suggests similar ones for names that are missing.

A name is looked up, never followed: the target of a symlink of the snapshot is not part of it.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress

from msgspec import Struct, field

from snapmirror.errors import DamageError, UsageError
from snapmirror.history.histories import Found
from snapmirror.snapshots.browse import is_pattern, normal, pattern_of
from snapmirror.snapshots.entry import escape, join, parent, parse, unescape
from snapmirror.snapshots.lines import holds_symlink, name_of, unnumbered
from snapmirror.snapshots.manifest import DamagedManifest, Reader

_SIBLINGS = 20_000


def wanted(found: Found, words: Sequence[bytes], *, patterns: bool = True, tree: bool = True) -> list[bytes]:
    """The requested paths, relative to the source: names, or patterns with `* ? [` as `find` takes them.

    `tree`: the snapshot itself will be read as well. Raises UsageError for a name that the snapshot does not hold.
    """
    words = _expanded(found, words) if patterns else words
    paths = list(dict.fromkeys(normal(word) for word in words))
    for word, path in zip(words, paths, strict=False):
        if b".." in path.split(b"/"):
            raise UsageError(f"{_shown(word)} leaves the snapshot", hint="write the path without '..'")
    if b"." in paths:
        return [b"."]
    try:
        present = _present(found, paths)
        missing = [path for path in paths if path not in present]
        if missing:
            raise UsageError(f"{found.snapshot.id} holds no {_shown(missing[0])}", hint=_hint(found, missing[0]))
    except DamagedManifest:  # the tree itself is the next best evidence
        if not tree:
            raise
        for path in paths:
            if not os.path.lexists(join(os.fsencode(found.tree), path)):
                raise UsageError(
                    f"{found.snapshot.id} holds no {_shown(path)}", hint="'snapmirror verify' shows more"
                ) from None
    for path in paths if tree else ():
        _check_real(found, path)
    return [path for path in paths if not any(_is_below(path, other) for other in paths)]


def _expanded(found: Found, words: Sequence[bytes]) -> list[bytes]:
    """The words with each pattern replaced by the names that it matches; a name that looks like a pattern stays."""
    patterns = {word: pattern_of(word) for word in words if is_pattern(word)}
    matches: dict[bytes, list[bytes]] = {word: [] for word in patterns}
    if patterns:
        with suppress(DamagedManifest):
            for name in _names(found):
                path = unescape(name).removesuffix(b"/")
                for word, pattern in patterns.items():
                    if pattern.wanted(path):
                        matches[word].append(b"/" + path)
    for word, names in matches.items():
        if b"/" + normal(word) in names:
            matches[word] = [word]
    return [one for word in words for one in (matches.get(word) or [word])]


def ancestors(path: bytes) -> list[bytes]:
    """The folders above a path, outermost first, without the root."""
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts))]


def _is_below(path: bytes, other: bytes) -> bool:
    return path.startswith(other + b"/")


def _present(found: Found, paths: Sequence[bytes]) -> set[bytes]:
    """Which of the paths the manifest lists."""
    lines = {escape(path) + end for path in paths for end in (b"", b"/")}
    return {unescape(name.removesuffix(b"/")) for name in _names(found) if name in lines}


def _names(found: Found) -> Iterator[bytes]:
    """Every name in the form of manifests."""
    for line in Reader(found.history.manifest(found.snapshot)):
        yield name_of(line)


def _check_real(found: Found, path: bytes) -> None:
    """Check that each folder above is one: a manipulated tree must not lead out of the store."""
    for folder in ancestors(path):
        try:
            mode = os.lstat(join(os.fsencode(found.tree), folder)).st_mode
        except OSError as error:
            raise DamageError(
                f"{_shown(folder)} of {found.snapshot.id} cannot be read: {error.strerror}",
                hint="run 'snapmirror verify'",
            ) from error
        if not stat.S_ISDIR(mode):
            raise DamageError(
                f"{_shown(folder)} of {found.snapshot.id} is not a folder any more", hint="run 'snapmirror verify'"
            )


class _Near(Struct):
    """Names similar to a missing path."""

    same_name: list[bytes] = field(default_factory=list)
    siblings: list[bytes] = field(default_factory=list)
    symlink: tuple[bytes, bytes] | None = None


def _hint(found: Found, path: bytes) -> str:
    near = _look_around(found, path)
    if near.symlink is not None:
        return f"{_shown(near.symlink[0])} is a symlink to {_shown(near.symlink[1])} there"
    base = path.rpartition(b"/")[2]
    texts = {os.fsdecode(one.rpartition(b"/")[2]): one for one in near.siblings}
    close = [texts[one] for one in difflib.get_close_matches(os.fsdecode(base), texts, n=3)]
    guesses = list(dict.fromkeys([*close, *near.same_name]))[:4]
    if guesses:
        return f"similar: {', '.join(map(_shown, guesses))}"
    return f"names are relative to {found.mirror.source}; 'snapmirror find' searches all snapshots"


def _look_around(found: Found, path: bytes) -> _Near:
    near, base, folder = _Near(), path.rpartition(b"/")[2], parent(path)
    above = set(ancestors(path))
    tail = b"/" + path
    for line in Reader(found.history.manifest(found.snapshot)):
        name = unescape(name_of(line)).removesuffix(b"/")
        if name in above and holds_symlink(line):
            near.symlink = name, parse(unnumbered(line)).target or b""
        if len(near.siblings) < _SIBLINGS and name != b"." and parent(name) == folder:
            near.siblings.append(name)
        ends_alike = name.rpartition(b"/")[2] == base or tail.endswith(b"/" + name)
        if ends_alike and name != b"." and len(near.same_name) < 3:
            near.same_name.append(name)
    return near


def _shown(path: bytes) -> str:
    return repr(os.fsdecode(path))
