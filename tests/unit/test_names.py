"""Names of a tree, whoever chose them, are changed in the tree or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapmirror.errors import DamageError
from snapmirror.snapshots.names import Tree

OUTSIDE = [b"../victim", b"folder/../../victim", b"/etc", b"", b"folder//file", b"./file", b"folder/.", b"a\0b"]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "victim").write_text("not ours")
    (tmp_path / "tree" / "folder").mkdir(parents=True)
    (tmp_path / "tree" / "file").write_text("ours")
    return Tree(tmp_path / "tree")


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leaves_the_tree_is_refused(tree: Tree, tmp_path: Path, path: bytes) -> None:
    for change in (tree.unlink, tree.remove_folder, tree.make_folder, lambda name: tree.link(b"/etc/passwd", name)):
        with pytest.raises(DamageError, match="leaves the tree"):
            change(path)
    assert (tmp_path / "victim").read_text() == "not ours"


def test_a_path_through_a_symlink_is_nowhere(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "tree" / "way_out").symlink_to("..")
    tree.unlink(b"way_out/victim")
    assert tree.inode(b"way_out/victim") is None
    assert (tmp_path / "victim").read_text() == "not ours"
