"""Hard link groups in a plan.

A listing shows a group as one plain entry, its leader, and further names that point to it; the leader may be another
name in the next night although nothing has changed. So groups are compared as sets of names: an old inode is kept in at
most one new group (or single name), where name and attributes agree; other names of that group are linked to it inside
the slot, and a group without such an inode is transferred as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Set

from msgspec import Struct, field

from snapmirror.snapshots import entry
from snapmirror.snapshots.lines import (
    Line,
    Number,
    Numbered,
    holds_directory,
    is_directory,
    is_link,
    is_symlink,
    prefix_of,
    since_prefix,
    unnumbered,
    with_number,
)
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.plan import Plan

Symlinks = Callable[[], list[Line]]
_GROUP = b"g"  # begins the name of an inode that has several names


class _Name(Struct):
    """One name that belongs to a group before or after tonight. Lines are without numbers."""

    old_number: Number | None = None  # None: unchanged plain line, its number is in the manifest already
    old_line: Line | None = None
    old_attributes: bytes | None = None
    old_inode: bytes = b""
    new_line: Line | None = None
    new_attributes: bytes | None = None
    new_inode: bytes = b""


class Grouped(Struct):
    """The numbered link lines of the new manifest, and every name that is in a group before or after tonight."""

    lines: list[Numbered] = field(default_factory=list)
    names: Set[bytes] = frozenset()


def resolve(
    plan: Plan,
    changed: Iterable[Pair],
    symlinks: Symlinks,
    old_links: list[Numbered],
    new_links: list[Line],
    marked: Set[bytes],
    number: Number,
) -> Grouped:
    """Put the changes of groups into the plan; the caller handles the rest of `changed`.

    `symlinks` reads the plain lines of the symlinks of the old side.
    """
    if not old_links and not new_links:
        return Grouped()
    names = _collect(changed, symlinks, old_links, new_links)
    inodes: dict[bytes, list[bytes]] = {}
    for path, name in names.items():
        if name.new_line is not None:
            inodes.setdefault(name.new_inode, []).append(path)
    kept = _kept_names(names, inodes, marked)
    plan.bound = _bound(names, kept)
    for members in inodes.values():
        survivors = [path for path in members if path in kept]
        moved: list[Pair] = []
        for path in members:
            name = names[path]
            assert name.new_line is not None
            pair = (_numbered(name), name.new_line)
            if path in kept:
                if name.old_number is not None and not is_link(name.new_line):
                    plan.corrections[name.new_line] = with_number(name.old_number, name.new_line)
            else:
                if not is_link(name.new_line):
                    plan.corrections[name.new_line] = with_number(number, name.new_line)
                if survivors:
                    plan.links.append((pair, survivors[0]))
                else:
                    moved.append(pair)
        if len(moved) > 1:
            plan.groups.append(moved)
        else:
            plan.transfer.extend(moved)
    for name in names.values():
        if name.new_line is None and name.old_line is not None:
            plan.delete.append(with_number(name.old_number or number, name.old_line))
    lines = []
    for line in new_links:
        path = entry.parse(line).path
        old_number = names[path].old_number
        lines.append(with_number(old_number if path in kept and old_number is not None else number, line))
    return Grouped(lines, names.keys())


def _bound(names: dict[bytes, _Name], kept: Set[bytes]) -> Set[bytes]:
    """See `plan.Plan`."""
    seen = {names[path].old_inode for path in kept}
    bound = set[bytes]()
    for path, name in names.items():
        if path not in kept and name.old_inode[:1] == _GROUP:
            if name.old_inode in seen:
                bound.add(path)
            seen.add(name.old_inode)
    return bound


def _numbered(name: _Name) -> Numbered | None:
    return None if name.old_line is None else with_number(name.old_number or since_prefix(0), name.old_line)


def is_grouped(pair: Pair, names: Set[bytes]) -> bool:
    """Whether a pair is of one of these names, and not of a folder."""
    old, new = pair
    line = new if new is not None else unnumbered(old) if old is not None else Line(b"")
    return not is_directory(line) and entry.parse(line).path in names


def _collect(
    changed: Iterable[Pair], symlinks: Symlinks, old_links: list[Numbered], new_links: list[Line]
) -> dict[bytes, _Name]:
    """Every name that is in a group before or after, with its known lines of both sides."""
    names: dict[bytes, _Name] = {}
    for numbered in old_links:
        link = entry.parse(unnumbered(numbered))
        assert link.leader is not None
        name = names.setdefault(link.path, _Name())
        name.old_number, name.old_line = prefix_of(numbered), link.line
        leader = names.setdefault(link.leader, _Name())
        for one in (name, leader):
            one.old_attributes, one.old_inode = link.attributes, _GROUP + link.leader
    for line in new_links:
        link = entry.parse(line)
        assert link.leader is not None
        name = names.setdefault(link.path, _Name())
        name.new_line = line
        leader = names.setdefault(link.leader, _Name())
        for one in (name, leader):
            one.new_attributes, one.new_inode = link.attributes, _GROUP + link.leader
    _add_changes(names, changed)
    symlink_lines = {entry.parse(line).path: line for line in symlinks()} if _holds_symlinks(names) else {}
    for path, name in names.items():
        if name.new_line is None and name.old_line is None:
            _fill_unchanged(path, name, symlink_lines)
    if _holds_symlinks(names):
        _add_targets(names)
    return names


def _holds_symlinks(names: dict[bytes, _Name]) -> bool:
    return any((name.old_attributes or name.new_attributes or b"")[:1] == b"L" for name in names.values())


def _add_changes(names: dict[bytes, _Name], changed: Iterable[Pair]) -> None:
    for old, new in changed:
        if old is not None and not holds_directory(old):
            before = entry.parse(unnumbered(old))
            if (name := names.get(before.path)) is not None:
                name.old_number, name.old_line, name.old_attributes = prefix_of(old), before.line, before.attributes
                name.old_inode = name.old_inode or b"s" + before.path
        if new is not None and not is_directory(new):
            after = entry.parse(new)
            if (name := names.get(after.path)) is not None:
                name.new_line, name.new_attributes = after.line, after.attributes
                name.new_inode = name.new_inode or b"s" + after.path


def _fill_unchanged(path: bytes, name: _Name, symlink_lines: dict[bytes, Line]) -> None:
    """A leader whose plain line is the same on both sides is in no change: fill in one side from the other."""
    attributes = name.new_attributes or name.old_attributes or b""
    line = symlink_lines[path] if attributes[:1] == b"L" else entry.plain_line(attributes, path)
    name.old_line = name.new_line = line
    name.old_attributes = name.new_attributes = attributes
    name.old_inode = name.old_inode or b"s" + path
    name.new_inode = name.new_inode or b"s" + path


def _add_targets(names: dict[bytes, _Name]) -> None:
    """Add the leaders' targets to symlinks: a symlink's identity includes its target; only the leader's line has it."""
    for old_side in (True, False):
        targets: dict[bytes, bytes] = {}
        for path, name in names.items():
            line = name.old_line if old_side else name.new_line
            if line is not None and is_symlink(line) and not is_link(line):
                targets[path] = entry.parse(line).target or b""
        for name in names.values():
            inode = name.old_inode if old_side else name.new_inode
            target = targets.get(inode[1:])
            if target is None:
                continue
            if old_side and name.old_attributes is not None:
                name.old_attributes += b">" + target
            elif not old_side and name.new_attributes is not None:
                name.new_attributes += b">" + target


def _kept_names(names: dict[bytes, _Name], inodes: dict[bytes, list[bytes]], marked: Set[bytes]) -> set[bytes]:
    """The names that keep their inode: each old inode is kept in at most one new inode."""
    claims: list[tuple[int, bytes, bytes]] = []
    for new_inode, members in inodes.items():
        if any(path in marked for path in members):
            continue
        votes = Counter(
            names[path].old_inode
            for path in members
            if names[path].old_attributes is not None and names[path].old_attributes == names[path].new_attributes
        )
        claims.extend((-count, new_inode, old_inode) for old_inode, count in votes.items())
    kept: set[bytes] = set()
    taken_old: set[bytes] = set()
    taken_new: set[bytes] = set()
    for _, new_inode, old_inode in sorted(claims):
        if new_inode not in taken_new and old_inode not in taken_old:
            taken_new.add(new_inode)
            taken_old.add(old_inode)
            kept.update(path for path in inodes[new_inode] if names[path].old_inode == old_inode)
    return kept
