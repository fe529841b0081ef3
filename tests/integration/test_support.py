"""The measure is measured: a fingerprint that cannot fail would prove nothing, nor would trees without variety."""

from __future__ import annotations

import os
import random
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fingerprint import compare, fingerprint
from tests.support.nights import CHANGES, live_a_day, random_changes, random_kinds
from tests.support.trees import KINDS, NAMES, Tree, acl

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "d").mkdir(parents=True)
    (root / "file").write_bytes(b"content")
    (root / "twin").write_bytes(b"linked")
    os.link(root / "twin", root / "d" / "twin")
    (root / "link").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    return root


def _rewrite_keeping_everything(root: Path) -> None:
    state = (root / "file").stat()
    (root / "file").write_bytes(b"CONTENT")
    os.utime(root / "file", ns=(state.st_atime_ns, state.st_mtime_ns))


def _break_link(root: Path) -> None:
    state = (root / "twin").stat()
    (root / "twin").unlink()
    (root / "twin").write_bytes(b"linked")
    os.utime(root / "twin", ns=(state.st_atime_ns, state.st_mtime_ns))


def _new_target(root: Path) -> None:
    state = (root / "link").lstat()
    (root / "link").unlink()
    (root / "link").symlink_to("NOWHERE")
    os.utime(root / "link", ns=(state.st_atime_ns, state.st_mtime_ns), follow_symlinks=False)


def _new_device(root: Path) -> None:
    (root / "device").unlink()
    os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))


def _one_nanosecond(path: Path) -> None:
    state = path.lstat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1), follow_symlinks=False)


def _fifo_becomes_socket(root: Path) -> None:
    (root / "fifo").unlink()
    os.mknod(root / "fifo", stat.S_IFSOCK | 0o644)


ONE_CHANGE: dict[str, tuple[Callable[[Path], object], bytes, str]] = {
    "content": (_rewrite_keeping_everything, b"file", "content"),
    "size": (lambda root: os.truncate(root / "file", 3), b"file", "size"),
    "mode": (lambda root: os.chmod(root / "file", 0o4644), b"file", "mode"),
    "mode of directory": (lambda root: os.chmod(root / "d", 0o1755), b"d", "mode"),
    "mode of fifo": (lambda root: os.chmod(root / "fifo", 0o611), b"fifo", "mode"),
    "owner": (lambda root: os.chown(root / "file", 7, 0), b"file", "uid"),
    "group of symlink": (lambda root: os.lchown(root / "link", 0, 7), b"link", "gid"),
    "time": (lambda root: _one_nanosecond(root / "file"), b"file", "mtime_ns"),
    "time of symlink": (lambda root: _one_nanosecond(root / "link"), b"link", "mtime_ns"),
    "time of directory": (lambda root: _one_nanosecond(root / "d"), b"d", "mtime_ns"),
    "time of root": (_one_nanosecond, b".", "mtime_ns"),
    "xattr": (lambda root: os.setxattr(root / "file", "user.x", b"1"), b"file", "xattrs"),
    "xattr of directory": (lambda root: os.setxattr(root / "d", "user.x", b"1"), b"d", "xattrs"),
    "ACL": (
        lambda root: os.setxattr(root / "d", "system.posix_acl_default", acl(random.Random(1))), b"d", "xattrs",
    ),
    "target": (_new_target, b"link", "target"),
    "device number": (_new_device, b"device", "rdev"),
    "type": (_fifo_becomes_socket, b"fifo", "kind"),
    "link broken": (_break_link, b"twin", "links"),
    "link made": (lambda root: os.link(root / "file", root / "d" / "more"), b"file", "links"),
    "deleted": (lambda root: (root / "file").unlink(), b"file", "missing"),
    "created": (lambda root: (root / "d" / "n\n").touch(), b"d/n\n", "not expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_CHANGE)
def test_fingerprint_sees_each_kind_of_change(scene: Path, name: str) -> None:
    before = fingerprint(scene)
    assert compare(before, fingerprint(scene)) == []
    change, path, expected = ONE_CHANGE[name]
    change(scene)
    lines = compare(before, fingerprint(scene))
    assert any(line.startswith(f"{path!r}: ") and expected in line for line in lines), lines


def test_fingerprint_leaves_out_what_other_snapshots_change(scene: Path, tmp_path: Path) -> None:
    before = fingerprint(scene)
    os.link(scene / "file", tmp_path / "elsewhere")
    (scene / "file").read_bytes()
    assert compare(before, fingerprint(scene)) == []


@pytest.mark.parametrize("seed", range(6))
def test_rsync_alone_can_keep_what_the_trees_hold(tmp_path: Path, seed: int) -> None:
    """If plain rsync could not copy these trees exactly, the property would ask for the impossible."""
    rng = random.Random(seed)
    tree = Tree(tmp_path / "source")
    tree.grow(random_kinds(rng, 60))
    copy = ["rsync", "--archive", "--hard-links", "--acls", "--xattrs", "--numeric-ids", "--sparse"]
    tree.settle()
    subprocess.run([*copy, f"{tmp_path}/source/", f"{tmp_path}/first/"], check=True)
    assert compare(tree.fingerprint(), fingerprint(tmp_path / "first")) == []
    live_a_day(tree, random_changes(rng, 30))
    subprocess.run([*copy, f"{tmp_path}/source/", f"{tmp_path}/second/"], check=True)
    assert compare(tree.fingerprint(), fingerprint(tmp_path / "second")) == []


def test_trees_hold_every_kind_of_entry_and_many_names(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "source")
    tree.grow([(kind, seed) for seed in range(12) for kind in sorted(set(KINDS))])
    marks = tree.fingerprint()
    kinds = {mark.kind for mark in marks.values()}
    assert kinds == {"file", "directory", "symlink", "fifo", "socket", "char device", "block device"}
    assert any(len(mark.links) > 1 and mark.kind == "file" for mark in marks.values())
    names = {os.path.basename(path) for path in marks}
    assert len(names & set(NAMES)) > len(NAMES) // 2
    assert any(b"\n" in name for name in names) and any(len(name) == 255 for name in names)
    assert any(name == "system.posix_acl_default" for mark in marks.values() for name, _ in mark.xattrs)


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_each_change_does_something(tmp_path: Path, name: str) -> None:
    """Over a few seeds every change leaves a trace, the ones apart whose point is that nothing is to be seen."""
    tree = Tree(tmp_path / "source")
    tree.grow([(kind, seed) for seed in range(3) for kind in sorted(set(KINDS))])
    tree.settle()
    before = tree.fingerprint()
    for seed in range(5):
        live_a_day(tree, [(name, seed)])
    different = compare(before, tree.fingerprint()) != []
    assert different or name == "nothing"


def test_settle_separates_what_the_quick_check_confuses(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "source")
    tree.write(b"f", b"one")
    tree.set_mtime_ns(b"f", 5 * 10**9 + 1)
    tree.published()
    tree.write(b"f", b"two")
    tree.set_mtime_ns(b"f", 5 * 10**9 + 2)
    tree.settle()
    assert tree.lstat(b"f").st_mtime_ns // 10**9 != 5
