"""Folders of this machine grafted into one tree, listed and fetched by real rsyncs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.snapshots import checksums
from snapmirror.snapshots.entry import path_of
from snapmirror.snapshots.lines import Line
from snapmirror.sources.merged import merged
from snapmirror.sources.open import open_source
from snapmirror.sources.protocol import Into, Source
from snapmirror.sources.rsync import RsyncSource

TIME = 1_700_000_000


class Scene:
    """A main tree, two parts, and the same put together by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.whole = folder, folder / "whole"
        self._build("main", {
            "top": "t", "etc/hosts": "h", "srv/a": "a", "srv/dumps/old": "hidden", "srv/dumps/two": "hidden",
            "zoo/z": "z", "way": "a file in the way",
        })  # fmt: skip
        os.link(folder / "main/srv/dumps/two", folder / "main/zoo/another")
        self._build("sql", {"one.sql": "select", "more/two.sql": "insert", "more/twin": "x"})
        os.link(folder / "sql/more/twin", folder / "sql/twin of more")
        for name in ("main/zoo", "sql"):
            os.utime(folder / name, (TIME, TIME))
        self._build("git", {"HEAD": "main", "objects/\udcff#\\#012": "odd"})
        shutil.copytree(folder / "main", self.whole, symlinks=True, copy_function=shutil.copy2)
        (self.whole / "way").unlink()
        shutil.rmtree(self.whole / "srv/dumps")
        shutil.copytree(folder / "sql", self.whole / "srv/dumps")
        (self.whole / "srv/dumps/twin of more").unlink()
        os.link(self.whole / "srv/dumps/more/twin", self.whole / "srv/dumps/twin of more")
        shutil.copytree(folder / "git", self.whole / "way/to/git")
        for name in ("way/to", "way"):
            (self.whole / name).chmod(0o755)
            os.utime(self.whole / name, (946684800, 946684800))  # 2000-01-01
        for name in ("srv/dumps", "srv", "."):
            os.utime(self.whole / name, (TIME, TIME))

    def _build(self, name: str, files: dict[str, str]) -> None:
        root = self.folder / name
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        for place in [*root.rglob("*"), root]:
            os.utime(place, (TIME, TIME))

    def source(self, name: str) -> Source:
        config = self.folder / "snapmirror.toml"
        config.write_text(
            f'[store]\npath = "{self.folder}/store"\n[[mirror]]\nname = "{name}"\nsource = "{self.folder / name}"\n'
        )
        (mirror,) = load(config).mirrors
        source = open_source(mirror)
        assert isinstance(source, RsyncSource)
        return source

    def merged(self) -> Source:
        return merged(self.source("main"), [("srv/dumps", self.source("sql")), ("way/to/git", self.source("git"))])

    def into(self, number: int) -> Into:
        for name in (str(number), "tmp", "partial"):
            (self.folder / "staging" / name).mkdir(parents=True, exist_ok=True)
        staging = self.folder / "staging"
        return Into(staging / str(number), staging / "names", staging / "tmp", staging / "partial")


@pytest.fixture
def trees(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def lines(source: Source) -> list[Line]:
    with source.listed(expected=0) as listing:
        return list(listing.lines())


def without_sizes_of_folders(lines: Iterable[bytes]) -> list[bytes]:
    """They are the file system's, and depend on what else was ever in a folder."""
    fields = (line.split(b"|", 6) for line in lines)
    return [b"|".join([*one[:4], *([b""] if one[0][1:2] == b"d" else one[4:5]), *one[5:]]) for one in fields]


def test_the_listing_is_that_of_the_tree_put_together(trees: Scene) -> None:
    source = trees.merged()
    assert without_sizes_of_folders(lines(source)) == without_sizes_of_folders(lines(trees.source("whole")))
    with source.listed(expected=0) as listing:
        assert list(listing.lines())
    assert listing.complaints == [
        f"2 names of {trees.folder}/main make way for {trees.folder}/sql",
        f"1 name of {trees.folder}/main make way for {trees.folder}/git",
    ]


def test_what_is_fetched_is_the_tree_put_together(trees: Scene) -> None:
    source = trees.merged()
    listed = lines(source)
    names = [path for path in map(path_of, listed) if path != b"."]
    into = trees.into(0)
    with source.fetch(names, into, doing="fetching {}") as fetch:
        sent = list(fetch.arrived)
    assert fetch.failure is None and not fetch.complaints
    assert sorted(one.line for one in sent) == sorted(listed[1:])
    sums = {path_of(Line(one.line)): one.checksum for one in sent if one.checksum}
    assert sums[b"srv/dumps/one.sql"] == checksums.of_file(os.fsencode(trees.folder / "sql/one.sql"))
    os.utime(into.tree, (TIME, TIME))
    (trees.folder / "fetched").symlink_to(into.tree)
    fetched, whole = lines(trees.source("fetched")), lines(trees.source("whole"))
    assert without_sizes_of_folders(fetched)[1:] == without_sizes_of_folders(whole)[1:]
    assert [path.name for path in (trees.folder / "staging").iterdir() if path.name not in ("tmp", "partial")] == ["0"]


def test_a_name_alone_comes_from_its_part(trees: Scene) -> None:
    source = trees.merged()
    lines(source)
    for number, path in enumerate([b"top", b"srv/dumps/more/two.sql", b"way/to/git/HEAD"]):
        into = trees.into(number)
        with source.fetch([path], into, doing="fetching {}") as fetch:
            assert [path_of(Line(sent.line)) for sent in fetch.arrived] == [path]
        assert [os.fsencode(one.relative_to(into.tree)) for one in into.tree.rglob("*") if one.is_file()] == [path]


def test_comparing_finds_what_has_changed_in_each(trees: Scene) -> None:
    source = trees.merged()
    lines(source)

    def never(text: bytes, seconds: int) -> bool:
        return False

    folders = {b".", b"srv", b"srv/dumps", b"way"}  # (a file in the way is compared as one)
    assert source.changed(trees.whole, never) <= folders
    (trees.folder / "sql/one.sql").write_text("delete")
    (trees.folder / "main/etc/hosts").write_text("other")
    assert source.changed(trees.whole, never) - folders == {b"srv/dumps/one.sql", b"etc/hosts"}
    assert source.changed(trees.whole, never, [b"srv/dumps/one.sql", b"top"]) == {b"srv/dumps/one.sql"}
