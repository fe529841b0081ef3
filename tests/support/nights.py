"""What may happen to a source tree between two nights. Each change is a function of a `Tree` and a seeded Random.

`CHANGES` names them all; `live_a_day` applies a list of (name, seed). Changes whose only trace is an extended
attribute or an ACL are in `INVISIBLE`: rsync's listing cannot show them, a night of kind full finds them.
"""

# Names are bytes here, and pathlib knows only text.

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable, Sequence

from tests.support.trees import KINDS, NAMES, TARGETS, Tree

Change = Callable[[Tree, random.Random], None]


def live_a_day(tree: Tree, changes: Sequence[tuple[str, int]]) -> None:
    """Apply the named changes, then step around the documented limit of rsync's quick check."""
    for name, seed in changes:
        CHANGES[name](tree, random.Random(seed))
    tree.settle()


def random_changes(rng: random.Random, count: int) -> list[tuple[str, int]]:
    """`count` changes, for tests that are driven by a plain seed."""
    return [(rng.choice(sorted(CHANGES)), rng.getrandbits(32)) for _ in range(count)]


def random_kinds(rng: random.Random, count: int) -> list[tuple[str, int]]:
    """`count` entries for `Tree.grow`, for tests that are driven by a plain seed."""
    return [(rng.choice(KINDS), rng.getrandbits(32)) for _ in range(count)]


def _not_directory(mode: int) -> bool:
    return not stat.S_ISDIR(mode)


def _pick(tree: Tree, rng: random.Random, *wanted: Callable[[int], bool]) -> bytes | None:
    found = tree.entries(*wanted)
    return rng.choice(found) if found else None


def _remove(tree: Tree, path: bytes) -> None:
    if stat.S_ISDIR(tree.lstat(path).st_mode):
        shutil.rmtree(tree.full(path))
    else:
        os.unlink(tree.full(path))


# -- content -----------------------------------------------------------------------------------------------------


def same_size_new_bytes(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISREG):
        size = tree.lstat(path).st_size
        if size:
            offset = rng.randrange(size)
            tree.patch(path, offset, rng.randbytes(min(7, size - offset)))
            tree.set_time(path, rng)


def append(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISREG):
        tree.patch(path, tree.lstat(path).st_size, rng.randbytes(rng.choice((1, 5000))))


def append_keeping_time(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISREG):
        before = tree.lstat(path).st_mtime_ns
        tree.patch(path, tree.lstat(path).st_size, b"more")
        tree.set_mtime_ns(path, before)


def truncate(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISREG):
        os.truncate(tree.full(path), tree.lstat(path).st_size // 2)


def replace_by_rename(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISREG):
        fresh = tree.free_path(rng, os.path.dirname(path))
        tree.make("small", fresh, rng)
        os.rename(tree.full(fresh), tree.full(path))


def same_bytes_new_inode(tree: Tree, rng: random.Random) -> None:
    """Written again with nothing changed at all, time and attributes included: not a change."""
    if path := _pick(tree, rng, stat.S_ISREG):
        fresh = tree.free_path(rng, os.path.dirname(path))
        _copy(tree, path, fresh)
        os.rename(tree.full(fresh), tree.full(path))


def _copy(tree: Tree, path: bytes, fresh: bytes) -> None:
    shutil.copyfile(tree.full(path), tree.full(fresh))
    state = tree.lstat(path)
    os.chown(tree.full(fresh), state.st_uid, state.st_gid)
    os.chmod(tree.full(fresh), stat.S_IMODE(state.st_mode))
    for name in os.listxattr(tree.full(path)):
        os.setxattr(tree.full(fresh), name, os.getxattr(tree.full(path), name))
    os.chmod(tree.full(fresh), stat.S_IMODE(state.st_mode))
    tree.set_mtime_ns(fresh, state.st_mtime_ns)


# -- attributes --------------------------------------------------------------------------------------------------


def mode(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng):
        tree.set_mode(path, rng)


def owner(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng):
        tree.set_owner(path, rng)


def time(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng):
        tree.set_time(path, rng)


def symlink_attributes(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISLNK):
        (tree.set_owner if rng.random() < 0.5 else tree.set_time)(path, rng)


def special_attributes(tree: Tree, rng: random.Random) -> None:
    specials = (stat.S_ISFIFO, stat.S_ISSOCK, stat.S_ISCHR, stat.S_ISBLK)
    if path := _pick(tree, rng, *specials):
        rng.choice((tree.set_mode, tree.set_owner, tree.set_time))(path, rng)


def directory_attributes(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISDIR):
        rng.choice((tree.set_mode, tree.set_owner, tree.set_time))(path, rng)


def root_attributes(tree: Tree, rng: random.Random) -> None:
    rng.choice((tree.set_mode, tree.set_owner, tree.set_time))(b".", rng)


def every_attribute(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng):
        tree.dress(path, rng)


def xattr_only(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISREG, stat.S_ISDIR):
        tree.set_xattr(path, rng)


def acl_only(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISREG, stat.S_ISDIR):
        tree.set_acl(path, rng)


def xattrs_gone(tree: Tree, rng: random.Random) -> None:
    dressed = [path for path in tree.entries(stat.S_ISREG, stat.S_ISDIR) if os.listxattr(tree.full(path))]
    if dressed:
        tree.drop_xattrs(rng.choice(dressed))


# -- names -------------------------------------------------------------------------------------------------------


def create(tree: Tree, rng: random.Random) -> None:
    tree.make(rng.choice(KINDS), tree.free_path(rng), rng)


def rename(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, _not_directory):
        os.rename(tree.full(path), tree.full(tree.free_path(rng)))


def rename_over(tree: Tree, rng: random.Random) -> None:
    others = tree.entries(_not_directory)
    if len(others) > 1:
        one, two = rng.sample(others, 2)
        os.rename(tree.full(one), tree.full(two))


def rename_directory(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISDIR):
        homes = [home for home in tree.directories() if not (home + b"/").startswith(path + b"/") and len(home) < 1000]
        os.rename(tree.full(path), tree.full(tree.free_path(rng, rng.choice(homes))))


def swap(tree: Tree, rng: random.Random) -> None:
    """Two names exchange what they stand for, whatever the types."""
    found = tree.entries()
    if len(found) > 1:
        one, two = rng.sample(found, 2)
        if not (one + b"/").startswith(two + b"/") and not (two + b"/").startswith(one + b"/"):
            aside = tree.full(tree.free_path(rng, b""))
            os.rename(tree.full(one), aside)
            os.rename(tree.full(two), tree.full(one))
            os.rename(aside, tree.full(two))


def directory_behind_symlink(tree: Tree, rng: random.Random) -> None:
    """A directory moves away and a symbolic link to its new place takes its name."""
    if path := _pick(tree, rng, stat.S_ISDIR):
        aside = tree.free_path(rng, b"")
        os.rename(tree.full(path), tree.full(aside))
        os.symlink(tree.full(aside), tree.full(path))


def delete(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, _not_directory):
        os.unlink(tree.full(path))


def delete_subtree(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISDIR):
        shutil.rmtree(tree.full(path))


# -- types -------------------------------------------------------------------------------------------------------


def change_type(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng):
        _remove(tree, path)
        tree.make(rng.choice(KINDS), path, rng)


def change_type_keeping_time(tree: Tree, rng: random.Random) -> None:
    """The new entry has the old one's owner, time and mode: only the type tells."""
    if path := _pick(tree, rng):
        state = tree.lstat(path)
        _remove(tree, path)
        tree.make(rng.choice(("empty", "directory", "fifo", "socket", "char device")), path, rng)
        os.chown(tree.full(path), state.st_uid, state.st_gid)
        os.chmod(tree.full(path), stat.S_IMODE(state.st_mode))
        tree.set_mtime_ns(path, state.st_mtime_ns)


def new_target(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISLNK):
        before = tree.lstat(path).st_mtime_ns
        os.unlink(tree.full(path))
        os.symlink(rng.choice(TARGETS), tree.full(path))
        if rng.random() < 0.5:
            tree.set_mtime_ns(path, before)


def new_device_number(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISCHR, stat.S_ISBLK):
        before = tree.lstat(path)
        os.unlink(tree.full(path))
        os.mknod(tree.full(path), before.st_mode, os.makedev(3, rng.randrange(200)))
        os.chown(tree.full(path), before.st_uid, before.st_gid)
        tree.set_mtime_ns(path, before.st_mtime_ns)


def directory_becomes_file(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, stat.S_ISDIR):
        shutil.rmtree(tree.full(path))
        tree.make("small", path, rng)


def file_becomes_directory(tree: Tree, rng: random.Random) -> None:
    if path := _pick(tree, rng, _not_directory):
        os.unlink(tree.full(path))
        os.mkdir(tree.full(path))
        tree.make("small", os.path.join(path, rng.choice(NAMES)), rng)
        tree.dress(path, rng)


# -- hard links --------------------------------------------------------------------------------------------------


def _groups(tree: Tree) -> list[list[bytes]]:
    groups: dict[int, list[bytes]] = {}
    for path in tree.entries(_not_directory):
        groups.setdefault(tree.lstat(path).st_ino, []).append(path)
    return [names for names in groups.values() if len(names) > 1]


def link(tree: Tree, rng: random.Random) -> None:
    tree.make("hard link", tree.free_path(rng), rng)


def link_over(tree: Tree, rng: random.Random) -> None:
    """Two files that were separate become one inode."""
    files = tree.entries(_not_directory)
    if len(files) > 1:
        one, two = rng.sample(files, 2)
        os.unlink(tree.full(two))
        os.link(tree.full(one), tree.full(two), follow_symlinks=False)


def link_twins(tree: Tree, rng: random.Random) -> None:
    """A copy that is alike in everything becomes a link: nothing but the group shows it. Half of the time only copy."""
    if path := _pick(tree, rng, stat.S_ISREG):
        fresh = tree.free_path(rng)
        _copy(tree, path, fresh)
        if rng.random() < 0.5:
            os.unlink(tree.full(fresh))
            os.link(tree.full(path), tree.full(fresh))


def break_link(tree: Tree, rng: random.Random) -> None:
    """One name of a group becomes a file of its own, alike in everything else."""
    groups = [names for names in _groups(tree) if stat.S_ISREG(tree.lstat(names[0]).st_mode)]
    if groups:
        name = rng.choice(rng.choice(groups))
        fresh = tree.free_path(rng, os.path.dirname(name))
        _copy(tree, name, fresh)
        os.rename(tree.full(fresh), tree.full(name))


def lose_leader(tree: Tree, rng: random.Random) -> None:
    """The name that comes first, which rsync calls the leader, goes away."""
    if groups := _groups(tree):
        os.unlink(tree.full(min(rng.choice(groups))))


def new_leader(tree: Tree, rng: random.Random) -> None:
    """A name that sorts before all others joins a group."""
    if groups := _groups(tree):
        fresh = b"\x01first%d" % rng.randrange(10**6)
        os.link(tree.full(rng.choice(rng.choice(groups))), tree.full(fresh), follow_symlinks=False)


def write_through_link(tree: Tree, rng: random.Random) -> None:
    groups = [names for names in _groups(tree) if stat.S_ISREG(tree.lstat(names[0]).st_mode)]
    if groups:
        name = rng.choice(rng.choice(groups))
        tree.write(name, rng.randbytes(9))
        tree.set_time(name, rng)


def attributes_through_link(tree: Tree, rng: random.Random) -> None:
    if groups := _groups(tree):
        rng.choice((tree.set_mode, tree.set_owner, tree.set_time))(rng.choice(rng.choice(groups)), rng)


def nothing(tree: Tree, rng: random.Random) -> None:
    """A quiet day."""


INVISIBLE = (xattr_only, acl_only, xattrs_gone)
CHANGES: dict[str, Change] = {
    function.__name__: function
    for function in (
        same_size_new_bytes, append, append_keeping_time, truncate, replace_by_rename, same_bytes_new_inode, mode,
        owner, time, symlink_attributes, special_attributes, directory_attributes, root_attributes, every_attribute,
        create, rename, rename_over, rename_directory, swap, directory_behind_symlink, delete, delete_subtree,
        change_type, change_type_keeping_time, new_target, new_device_number, directory_becomes_file,
        file_becomes_directory, link, link_over, link_twins, break_link, lose_leader, new_leader, write_through_link,
        attributes_through_link, nothing, *INVISIBLE,
    )
}  # fmt: skip
