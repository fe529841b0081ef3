"""A plan, applied to a model of the slot, gives tonight's tree: for random trees, links and leaders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots import entry
from snapmirror.snapshots.compare import compare, in_order
from snapmirror.snapshots.lines import (
    Line,
    Numbered,
    holds_file,
    holds_link,
    is_link,
    prefix_of,
    since_prefix,
    unnumbered,
    with_number,
)
from snapmirror.snapshots.manifest import NOTHING, Header, Reader, Writer, rewritten
from snapmirror.snapshots.merge import OutOfOrder
from snapmirror.snapshots.plan import Plan, hold_back_deletions

HEADER = Header("2026-11-20T030000Z", 7)


@dataclass(frozen=True)
class Node:
    """One inode of a model tree."""

    kind: bytes
    size: int
    time: int
    target: bytes = b""
    group: int = 0  # names with the same number, if it is not 0, share the inode

    @property
    def fields(self) -> bytes:
        size = len(self.target) if self.kind == b"L" else self.size
        return b"rw-r--r--|0|0|%d|2026/11/20-03:00:%02d" % (size, self.time)


Tree = dict[bytes, Node]
COMPONENT = st.sampled_from([b"a", b"b", b"b.c", b"b-c", b"x => y", b"n\nl", b"\\#012", b"\xff"])
PATH = st.lists(COMPONENT, min_size=1, max_size=3).map(b"/".join)
NODE = st.builds(
    Node,
    kind=st.sampled_from([b"f", b"f", b"L", b"d"]),
    size=st.integers(0, 1),
    time=st.integers(0, 1),
    target=st.sampled_from([b"t", b"u"]),
    group=st.integers(0, 3),
)


def well_formed(raw: dict[bytes, Node]) -> Tree:
    """A tree in which every parent is a folder, and the names of a group agree."""
    tree: Tree = {b".": Node(b"d", 0, 0)}
    leaders: dict[int, Node] = {}
    for path, node in sorted(raw.items()):
        above = path.split(b"/")
        for depth in range(1, len(above)):
            folder = b"/".join(above[:depth])
            if tree.get(folder, Node(b"d", 0, 0)).kind != b"d":
                break
            tree.setdefault(folder, Node(b"d", 0, 0))
        else:
            if path in tree:
                continue
            if node.kind == b"d":
                node = Node(b"d", 0, node.time)
            elif node.group:
                node = leaders.setdefault(node.group, node)
            tree[path] = node
    return tree


TREE = st.dictionaries(PATH, NODE, max_size=12).map(well_formed)


def lines_of(tree: Tree, leader_last: bool) -> list[Line]:
    """The tree as rsync would list it, with one or another name leading each group."""
    order = sorted(tree, key=lambda path: entry.key_of(path, is_directory=tree[path].kind == b"d"))
    members: dict[int, list[bytes]] = {}
    for path in order:
        if tree[path].group:
            members.setdefault(tree[path].group, []).append(path)
    leader = {group: paths[-1 if leader_last else 0] for group, paths in members.items()}
    plain, links = [], []
    for path in order:
        node = tree[path]
        if node.group and leader[node.group] != path:
            pointer = b" => " + entry.escape(leader[node.group])
            item = b"h" + node.kind + b"+++++++++|"
            links.append(Line(item + node.fields + b"|" + pointer + b"//" + entry.escape(path)))
        else:
            pointer = b" -> " + node.target if node.kind == b"L" else b""
            plain.append(entry.plain_line(node.kind + b"|" + node.fields, path, pointer))
    return plain + links[::-1]


def final_lines(plan: Plan) -> list[Numbered]:
    return list(Reader(rewritten(plan.manifest, HEADER, corrections=plan.corrections)))


def applied(plan: Plan, slot: dict[bytes, tuple[Node, object]], new: Tree) -> dict[bytes, tuple[Node, object]]:
    """What a slot holds after the plan: each name with what it is and its inode."""
    slot = dict(slot)
    for old in plan.delete:
        del slot[entry.parse(unnumbered(old)).path]
    for (_, line), target in plan.links:
        assert line is not None
        slot[entry.parse(line).path] = slot[target]
    for unit in [[pair] for pair in plan.transfer] + plan.groups:
        inode = object()
        for _, line in unit:
            assert line is not None
            path = entry.parse(line).path
            slot[path] = (new[path], inode)
    return slot


def numbered(lines: Iterable[Line]) -> list[Numbered]:
    ordered = sorted(lines, key=lambda line: (is_link(line), entry.path_key(line)))
    return [with_number(since_prefix(number % 5 + 1), line) for number, line in enumerate(ordered)]


def manifest_of(numbered_lines: list[Numbered]) -> Reader:
    """A manifest file with these lines."""
    writer = Writer(Header("2026-11-19T030000Z", 6))
    for line in numbered_lines:
        writer.add(line)
        if holds_file(line):
            writer.totals.files += 1
            writer.totals.size += 0 if holds_link(line) else entry.size_of(unnumbered(line))
    return Reader(writer.finish())


def blocks(lines: list[Line], width: int = 3) -> Iterator[list[Line]]:
    """A listing as it comes, with a message of rsync's among it."""
    yield [Line(b"created directory /nowhere")]
    for start in range(0, len(lines), width):
        yield lines[start : start + width]


@given(TREE, TREE, st.booleans(), st.booleans())
def test_a_plan_makes_the_new_tree_and_a_true_manifest(old: Tree, new: Tree, before: bool, after: bool) -> None:
    old_lines = numbered(lines_of(old, before))
    plan = compare(manifest_of(old_lines), blocks(lines_of(new, after)), HEADER, marked=set())
    inodes: dict[object, object] = {}
    slot = {
        path: (node, inodes.setdefault(("g", node.group) if node.group else path, object()))
        for path, node in old.items()
    }
    result = applied(plan, slot, new)

    assert {path: node_key(node) for path, (node, _) in result.items()} == {p: node_key(n) for p, n in new.items()}
    assert partition({path: inode for path, (_, inode) in result.items()}) == partition(
        {path: ("g", node.group) if node.group else path for path, node in new.items()}
    )
    since = {entry.parse(unnumbered(line)).path: prefix_of(line) for line in old_lines}
    final = final_lines(plan)
    assert sorted(unnumbered(line) for line in final) == sorted(lines_of(new, after))
    for line in final:
        one = entry.parse(unnumbered(line))
        if not one.is_directory:
            kept = one.path in slot and slot[one.path][1] is result[one.path][1]
            assert prefix_of(line) == (since[one.path] if kept else b"0000007 "), line
    assert plan.totals.entries == len(new) == len(final)
    assert plan.old_entries == len(old)
    files = {("g", node.group) if node.group else path: node.size for path, node in new.items() if node.kind == b"f"}
    assert plan.totals.size == sum(files.values())
    assert plan.totals.files == sum(node.kind == b"f" for node in new.values())


def node_key(node: Node) -> object:
    return (node.kind, node.fields if node.kind != b"d" else node.time, node.target if node.kind == b"L" else b"")


def partition(inodes: dict[bytes, object]) -> set[frozenset[bytes]]:
    groups: dict[object, set[bytes]] = {}
    for path, inode in inodes.items():
        groups.setdefault(inode, set()).add(path)
    return {frozenset(paths) for paths in groups.values()}


@given(TREE)
def test_an_unchanged_tree_is_an_empty_plan_whichever_name_leads(tree: Tree) -> None:
    old = manifest_of(numbered(lines_of(tree, False)))
    assert compare(old, blocks(lines_of(tree, True)), HEADER, marked=set()).is_empty


@given(TREE, st.randoms())
def test_a_listing_in_another_order_is_noticed_or_harmless(tree: Tree, random: object) -> None:
    lines = lines_of(tree, False)
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = sorted(lines)
    try:
        plan = compare(NOTHING, blocks(shuffled), HEADER, marked=set())
    except OutOfOrder:
        plan = compare(NOTHING, in_order(blocks(shuffled)), HEADER, marked=set())
    assert sorted(unnumbered(line) for line in Reader(plan.manifest)) == expected


def test_a_marked_name_is_fetched_although_its_line_is_the_same() -> None:
    tree = {
        b".": Node(b"d", 0, 0),
        b"a": Node(b"f", 1, 0),
        b"b": Node(b"f", 1, 0, group=1),
        b"c": Node(b"f", 1, 0, group=1),
    }
    old = manifest_of(numbered(lines_of(tree, False)))
    plan = compare(old, blocks(lines_of(tree, False)), HEADER, marked={b"a", b"c"})
    assert [entry.parse(new).path for _, new in plan.transfer if new] == [b"a"]
    assert [[entry.parse(new).path for _, new in group if new] for group in plan.groups] == [[b"c", b"b"]]


def test_deletions_are_held_back_but_for_what_is_in_the_way() -> None:
    old = {b".": Node(b"d", 0, 0), b"gone": Node(b"f", 1, 0), b"was": Node(b"d", 0, 0), b"was/in": Node(b"f", 1, 0)}
    new = {b".": Node(b"d", 0, 0), b"was": Node(b"f", 1, 0)}
    plan = compare(manifest_of(numbered(lines_of(old, False))), blocks(lines_of(new, False)), HEADER, marked=set())
    hold_back_deletions(plan)
    assert [entry.parse(unnumbered(line)).path for line in plan.held_back] == [b"gone"]
    kept = Reader(rewritten(plan.manifest, HEADER, corrections={}, added=plan.held_back))
    assert [entry.parse(unnumbered(line)).path for line in kept] == [b".", b"gone", b"was"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense",
        b">f+++++++++|rw-r--r--|0|0|1|2026/11/20-03:00:00|//",
        b">f+++++++++|rw-r--r--|0|0|1|2026/11/20-03:00:00|x",
        b"cq+++++++++|rw-r--r--|0|0|1|2026/11/20-03:00:00|//x",
        b"hf+++++++++|rw-r--r--|0|0|1|2026/11/20-03:00:00|//x",
    ],
)
def test_a_line_that_is_no_entry_is_refused(text: bytes) -> None:
    with pytest.raises(entry.BadLine):
        entry.parse(Line(text))


@given(st.binary(min_size=1, max_size=20).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_every_name_survives_being_written(name: bytes) -> None:
    assert entry.unescape(entry.escape(name)) == name
    assert b"\n" not in entry.escape(name)
