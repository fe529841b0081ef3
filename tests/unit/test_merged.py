"""Sources grafted into one tree: the listing is that of a tree in which the parts lie in their folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.errors import ListingError, TransferError
from snapmirror.snapshots.compare import checked
from snapmirror.snapshots.entry import key_of, linked_line, path_key, path_of, plain_line
from snapmirror.snapshots.lines import Line, is_link
from snapmirror.snapshots.times import IsNearest
from snapmirror.sources.merged import Grafted, merged
from snapmirror.sources.protocol import OVER, Fetch, Into, Listing
from snapmirror.tools.rsync_output import Sent

NAMES = [b"a", b"b", b"dumps", b"dumps2", b"x\ny", b"\\#012", b"\xff", b"=> a", b"b -> a", b"|"]
MADE = b"d|rwxr-xr-x|%d|%d|4096|2000/01/01-00:00:00" % (os.geteuid(), os.getegid())


@dataclass(frozen=True)
class Node:
    kind: bytes = b"f"
    inode: int = 0


Files = Mapping[bytes, Node]
MADE_NODE = Node(b"d", -1)


@dataclass
class InMemory:
    """A source that is a list of lines, in blocks of so many."""

    lines: list[Line]
    block: int = 3
    skipped: Sequence[bytes] = ()
    complaints: Sequence[str] = ()
    lies: Sequence[bytes] = ()  # files that it writes although nobody asked
    sent: list[bytes] = field(default_factory=list)

    def __str__(self) -> str:
        return "memory"

    def check(self) -> None:
        pass

    @contextmanager
    def connected(self) -> Iterator[None]:
        yield

    @contextmanager
    def listed(self, *, expected: int) -> Iterator[Listing]:
        blocks = [self.lines[at : at + self.block] for at in range(0, len(self.lines), self.block)]
        listing = Listing(iter(blocks), complaints=list(self.complaints))
        listing.skipped.extend((name, OVER) for name in self.skipped)
        yield listing

    def changed(self, tree: Path, is_nearest: IsNearest, among: Sequence[bytes] | None = None) -> set[bytes]:
        return {b".", b"a"} if among is None else set(among)

    whole = None

    @contextmanager
    def fetch(
        self,
        names: Sequence[bytes] | None,
        into: Into,
        *,
        doing: str,
        tick: Callable[[], None] | None = None,
        dry_run: bool = False,
    ) -> Iterator[Fetch]:
        for path in [*(names or ()), *self.lies]:
            place = into.tree / path.decode()
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path)
        told = [plain_line(attributes(Node()), path) for path in [*(names or ()), *self.sent]]
        yield Fetch(iter([Sent(line, b"") for line in told]), bytes=len(told), complaints=list(self.complaints))


def attributes(node: Node) -> bytes:
    return node.kind + b"|rw-r--r--|0|0|%d|2026/11/20-03:00:00" % node.inode


def lines_of(files: Files) -> list[Line]:
    """As rsync lists them: the last name of a file leads, and the others stand right behind it."""
    groups: dict[int, list[bytes]] = {}
    order = sorted(files, key=lambda path: key_of(path, is_directory=files[path].kind == b"d"))
    for path in order:
        if files[path].kind != b"d":
            groups.setdefault(files[path].inode, []).append(path)
    lines = []
    for path in order:
        node = files[path]
        if node.kind == b"d":
            lines.append(plain_line(MADE if node is MADE_NODE else attributes(node), path))
        elif path == groups[node.inode][-1]:
            lines.append(plain_line(attributes(node), path, b" -> to" if node.kind == b"L" else b""))
            lines += [linked_line(attributes(node), other, path) for other in groups[node.inode][-2::-1]]
    return lines


def above(folder: bytes) -> list[bytes]:
    parts = folder.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts))]


def grafted(main: Files, folder: bytes, part: Files) -> Files:
    """What the merged tree is."""
    kept = {
        path: node
        for path, node in main.items()
        if path != folder and not path.startswith(folder + b"/") and not (path in above(folder) and node.kind != b"d")
    }
    made = {path: MADE_NODE for path in above(folder) if path not in kept}
    inside = {folder if path == b"." else folder + b"/" + path: node for path, node in part.items()}
    return {**kept, **made, **inside}


@st.composite
def trees(draw: st.DrawFn, inodes: int = 0) -> Files:
    """Folders, files of several names, symlinks; their inodes are numbered from `inodes` on."""
    files = {b".": Node(b"d", inodes)}
    for number in range(draw(st.integers(0, 12))):
        folder = draw(st.sampled_from([path for path, node in files.items() if node.kind == b"d"]))
        name = draw(st.sampled_from(NAMES))
        path = name if folder == b"." else folder + b"/" + name
        if path in files:
            continue
        kind = draw(st.sampled_from([b"d", b"f", b"f", b"L"]))
        others = [node for node in files.values() if node.kind == kind]
        again = kind != b"d" and others and draw(st.booleans())
        files[path] = draw(st.sampled_from(others)) if again else Node(kind, inodes + number + 1)
    return files


FOLDERS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(b"/".join).filter(lambda path: b"\n" not in path)


@given(
    main=trees(),
    folders=st.lists(FOLDERS, min_size=3, max_size=3),
    parts=st.tuples(*(trees(n) for n in (100, 200, 300))),
    count=st.integers(1, 3),
    block=st.integers(1, 9),
)
def test_the_listing_is_that_of_a_tree_in_which_the_parts_lie_in_their_folders(
    main: Files, folders: list[bytes], parts: Sequence[Files], count: int, block: int
) -> None:
    grafts = list(zip(folders, parts, strict=True))[:count]
    whole, stages = main, [main]
    for folder, part in grafts:
        whole = grafted(whole, folder, part)
        stages.append(whole)
    sources = [(os.fsdecode(folder), InMemory(lines_of(part), block)) for folder, part in grafts]
    with merged(InMemory(lines_of(main), block), sources).listed(expected=0) as listing:
        listed = list(listing.lines())
    assert sorted(listed) == sorted(lines_of(whole))
    given = {path_of(line) for files in stages for line in lines_of(files) if is_link(line)}
    if not any(path_of(line) in given for line in listed if not is_link(line)):  # none has taken another's place
        assert [line for line in listed if not is_link(line)] == [line for line in lines_of(whole) if not is_link(line)]


def test_what_makes_way_is_said_once() -> None:
    main = {b".": Node(b"d"), b"dumps": Node(b"d"), b"dumps/a": Node(b"f", 1), b"dumps/b": Node(b"f", 2)}
    source = InMemory(lines_of(main), complaints=["one"], skipped=[b"dumps/big", b"big"])
    part = InMemory(lines_of({b".": Node(b"d", 9)}), complaints=["two"], skipped=[b"huge"])
    with merged(source, [("dumps", part)]).listed(expected=0) as listing:
        assert list(listing.lines()) == lines_of({b".": Node(b"d"), b"dumps": Node(b"d", 9)})
    assert listing.complaints == ["one", "2 names of memory make way for memory", "two"]
    assert list(listing.skipped) == [(b"big", OVER), (b"dumps/huge", OVER)]
    with merged(InMemory(lines_of({b".": Node(b"d"), b"dumps": Node(b"d")})), [("dumps", part)]).listed(
        expected=0
    ) as listing:
        assert list(listing.lines())
    assert listing.complaints == ["two"]  # an empty folder is where a part may be grafted


def test_a_main_source_in_another_order_is_sorted_as_any_is() -> None:
    main = lines_of({b".": Node(b"d"), b"a": Node(b"d", 1), b"a/b": Node(b"f", 2), b"z": Node(b"d", 3)})
    part = InMemory(lines_of({b".": Node(b"d", 9), b"x": Node(b"f", 8)}))
    with merged(InMemory(main[::-1], 1), [("a/dumps", part)]).listed(expected=0) as listing:
        paths = [line.rpartition(b"//")[2] for line in sorted(listing.lines(), key=path_key)]
    assert paths == [b"./", b"a/", b"a/b", b"a/dumps/", b"a/dumps/x", b"z/"]


@pytest.mark.parametrize("folder", [".", "", "/dumps", "a/../b", "a//b", "a/", "a\nb"])
def test_a_folder_that_cannot_be(folder: str) -> None:
    with pytest.raises(ValueError, match="no folder for another source"):
        merged(InMemory([]), [(folder, InMemory([]))])


def test_a_part_stays_in_its_folder() -> None:
    part = InMemory([plain_line(attributes(Node(b"d")), b"."), plain_line(attributes(Node()), b"../etc")])
    with merged(InMemory([]), [("dumps", part)]).listed(expected=0) as listing:
        lines = list(listing.lines())
    assert [line.rpartition(b"//")[2] for line in lines] == [b"dumps/", b"dumps/../etc"]
    with pytest.raises(ListingError):  # as of any source, see plan.checked
        checked(lines[1])


def test_comparing_asks_each_for_its_own(tmp_path: Path) -> None:
    source = Grafted(InMemory([]), b"dumps", InMemory([]))

    def never(text: bytes, seconds: int) -> bool:
        return False

    assert source.changed(tmp_path, never) == {b".", b"a"}  # the snapshot has no such folder yet
    (tmp_path / "dumps").mkdir()
    assert source.changed(tmp_path, never) == {b".", b"a", b"dumps", b"dumps/a"}
    assert source.changed(tmp_path, never, [b"x", b"dumps/y"]) == {b"x", b"dumps/y"}
    (tmp_path / "dumps").rmdir()
    (tmp_path / "dumps").symlink_to("/etc")
    assert source.changed(tmp_path, never, [b"dumps/y"]) == set()


@pytest.fixture
def into(tmp_path: Path) -> Into:
    for name in ("0", "tmp", "partial"):
        (tmp_path / name).mkdir()
    return Into(tmp_path / "0", tmp_path / "names", tmp_path / "tmp", tmp_path / "partial")


def names_below(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*")}


def test_a_batch_is_split(into: Into) -> None:
    main, part = InMemory([], complaints=["one"]), InMemory([], complaints=["two"])
    (into.tree / "dumps").mkdir()
    (into.tree / "dumps" / "ready").write_text("of the night before")
    with merged(main, [("dumps", part)]).fetch([b"a", b"dumps/b", b"dumps/c/d"], into, doing="fetching {}") as fetch:
        paths = [sent.line.rpartition(b"//")[2] for sent in fetch.arrived]
    assert paths == [b"a", b"dumps/b", b"dumps/c/d"]
    assert names_below(into.tree) == {"a", "dumps", "dumps/b", "dumps/c", "dumps/c/d", "dumps/ready"}
    assert (into.tree / "dumps" / "b").read_text() == "b"
    assert (fetch.bytes, fetch.complaints) == (3, ["one", "two"])
    assert names_below(into.tree.parent) == {"0", "tmp", "partial", *(f"0/{name}" for name in names_below(into.tree))}


def test_a_main_source_cannot_write_in_a_part_nor_speak_for_it(into: Into) -> None:
    main = InMemory([], sent=[b"dumps/b"])
    source = merged(main, [("dumps", InMemory([]))])
    with source.fetch([b"a", b"dumps/b"], into, doing="fetching {}") as fetch:
        assert [sent.line.rpartition(b"//")[2] for sent in fetch.arrived] == [b"a", b"dumps/b"]
    main.lies = [b"dumps/b"]
    (into.tree / "again").mkdir()
    again = Into(into.tree / "again", into.names, into.scratch, into.partial)
    with (
        pytest.raises(TransferError, match="not asked for"),
        source.fetch([b"a", b"dumps/b"], again, doing="fetching {}") as fetch,
    ):
        list(fetch.arrived)


def test_nothing_of_a_part_is_nothing_in_the_tree(into: Into) -> None:
    with merged(InMemory([]), [("dumps", InMemory([]))]).fetch([b"a"], into, doing="fetching {}") as fetch:
        assert len(list(fetch.arrived)) == 1
    assert names_below(into.tree) == {"a"}
