"""ZFS datasets and their snapshots: made, listed, mounted, sealed, held, destroyed. Programs: zfs, mount, umount.

Snapshots are destroyed one at a time, by their full name, never with -r, -R or -f.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from snapmirror.errors import StorageError
from snapmirror.process import Argument, ProgramFailed, run
from snapmirror.tools.mount import Mount, mount_at, mounts, umount
from snapmirror.tools.undo import undone_by
from snapmirror.tools.zpool import reason, zfs

log = logging.getLogger("snapmirror.zfs")

_ABSENT = "-"


class SnapshotFacts(Struct, frozen=True):
    """A snapshot as ZFS reports it. `used`: what destroying it would free; `written`: what is new in it.

    `holds` counts the holds that keep it from being destroyed, whoever set them; `note` is the value of the requested
    property.
    """

    name: str
    used: int
    referenced: int
    written: int
    holds: int
    note: str | None


def exists(dataset: str) -> bool:
    """Whether the dataset exists in an imported pool."""
    try:
        run(["zfs", "list", "-H", "-o", "name", dataset])
    except ProgramFailed as failed:
        if b"does not exist" in failed.completed.stderr:
            return False
        raise StorageError(f"{dataset} cannot be looked at: {reason(failed)}") from failed
    return True


def create(dataset: str, properties: Mapping[str, str], *, passphrase: bytes | None = None) -> None:
    """Make a dataset. `passphrase`: given if the properties require one; it is passed through stdin."""
    options = [word for name, value in properties.items() for word in ("-o", f"{name}={value}")]
    stdin = None if passphrase is None else passphrase + b"\n"
    zfs(["zfs", "create", *options, dataset], f"the dataset {dataset} cannot be made", stdin=stdin)
    log.info("made the dataset %s", dataset)


def destroy(dataset: str) -> None:
    """Destroy a dataset with all below it, but not its clones. Only for datasets that are ours as a whole."""
    zfs(["zfs", "destroy", "-r", dataset], f"the dataset {dataset} cannot be removed")
    log.info("removed the dataset %s", dataset)


def local_property(dataset: str, name: str) -> str | None:
    """The value of a property that was set on this dataset itself, not inherited; None if it was not set."""
    argv: list[Argument] = ["zfs", "get", "-H", "-p", "-o", "value,source", name, dataset]
    value, _, source = zfs(argv, f"{dataset} cannot be looked at").text.partition("\t")
    return value if source in {"local", "received"} else None


def value(dataset: str, name: str) -> str:
    """The value of a property, wherever it comes from."""
    argv: list[Argument] = ["zfs", "get", "-H", "-p", "-o", "value", name, dataset]
    return zfs(argv, f"{dataset} cannot be looked at").text


def set_property(dataset: str, name: str, value: str) -> None:
    """Set a property of a dataset."""
    zfs(["zfs", "set", f"{name}={value}", dataset], f"{dataset} cannot be marked")


def children(dataset: str) -> list[str]:
    """The file systems right below a dataset."""
    argv: list[Argument] = ["zfs", "list", "-H", "-d", "1", "-t", "filesystem", "-o", "name", dataset]
    names = zfs(argv, f"{dataset} cannot be looked at").text.splitlines()
    return [name for name in names if name != dataset]


def below(dataset: str) -> list[str]:
    """Everything below a dataset except its own snapshots: file systems, volumes."""
    argv: list[Argument] = ["zfs", "list", "-H", "-r", "-t", "filesystem,volume", "-o", "name", dataset]
    names = zfs(argv, f"{dataset} cannot be looked at").text.splitlines()
    return [name for name in names if name != dataset]


def rename(dataset: str, name: str) -> None:
    """Give a dataset another name, at once and durably."""
    zfs(["zfs", "rename", dataset, name], f"{dataset} cannot be renamed")
    log.info("renamed the dataset %s to %s", dataset, name)


# --- keys


@contextmanager
def unlocked(dataset: str, passphrase: bytes) -> Iterator[None]:
    """Load the key of an encrypted dataset during the block."""
    with undone_by(lambda: lock(dataset)):
        if value(dataset, "keystatus") != "available":
            try:  # (zfs asks for the key once; without a terminal it reads stdin)
                run(["zfs", "load-key", "-L", "prompt", dataset], stdin=passphrase + b"\n")
            except ProgramFailed as failed:
                raise StorageError(
                    f"the key does not open {dataset}: {reason(failed)}", hint="check key_file or key_command in [zfs]"
                ) from failed
            log.info("loaded the key of %s", dataset)
        yield


def lock(dataset: str) -> None:
    """Unload the key of a dataset, if it is loaded."""
    if value(dataset, "keystatus") == "available":
        zfs(["zfs", "unload-key", dataset], f"the key of {dataset} cannot be unloaded")


# --- mounts


def mounts_of(dataset: str) -> list[Mount]:
    """Every mount of a dataset, of the datasets below it, and of their snapshots, oldest first."""
    below = (dataset + "/", dataset + "@")
    return [m for m in mounts() if m.filesystem == "zfs" and (m.source == dataset or m.source.startswith(below))]


def umount_all(dataset: str) -> None:
    """Unmount them all, verified. (The kernel mounts each snapshot that is accessed in .zfs/snapshot.)"""
    while ours := mounts_of(dataset):
        umount(ours[-1].target)


def mount(dataset: str, target: Path, options: Sequence[str]) -> None:
    """Mount a dataset, whose mountpoint is legacy, on a folder."""
    argv: list[Argument] = ["mount", "--types", "zfs", "--options", ",".join(options)]
    zfs([*argv, "--source", dataset, "--target", target], f"{dataset} cannot be mounted on {target}")
    log.info("mounted %s on %s (%s)", dataset, target, ",".join(options))


# --- snapshots


def mount_snapshot(dataset: str, name: str, target: Path, options: Sequence[str]) -> None:
    """Mount a snapshot where its dataset shows it, if it is not mounted there yet.

    The kernel would mount it by itself when the folder is accessed, but without any option: with devices and setuid
    programs, for five minutes, and only where the machine's first process sees the dataset. If it was quicker, its
    mount gets the options.
    """
    argv: list[Argument] = ["mount", "--types", "zfs", "--options", ",".join(["ro", *options])]
    source = f"{dataset}@{name}"
    what = f"the snapshot {source} cannot be mounted on {target}"
    there = mount_at(target)
    if there is None:
        try:
            zfs([*argv, "--source", source, "--target", target], what)
        except StorageError:
            if (there := mount_at(target)) is None:
                raise
    if there is not None and not there.read_only:  # (the kernel's own is rw)
        zfs(["mount", "--options", ",".join(["remount", "bind", "ro", *options]), "--target", target], what)


def snapshots(dataset: str, note: str = "name") -> list[SnapshotFacts]:
    """The snapshots of one dataset, the oldest first; `note` is a further property to read."""
    columns = f"name,used,referenced,written,userrefs,{note}"
    argv: list[Argument] = ["zfs", "list", "-H", "-p", "-d", "1", "-t", "snapshot", "-s", "createtxg", "-o", columns]
    lines = zfs([*argv, dataset], f"the snapshots of {dataset} cannot be listed").text.splitlines()
    return [_facts(line) for line in lines]


def _facts(line: str) -> SnapshotFacts:
    name, used, referenced, written, holds, note = line.split("\t", 5)
    text = None if note == _ABSENT else note
    return SnapshotFacts(name.partition("@")[2], int(used), int(referenced), int(written), int(holds), text)


def snapshot(dataset: str, name: str, properties: Mapping[str, str]) -> None:
    """Seal a dataset as it is, atomically and durably: all earlier writes are on the devices when this returns."""
    options = [word for key, value in properties.items() for word in ("-o", f"{key}={value}")]
    zfs(["zfs", "snapshot", *options, f"{dataset}@{name}"], f"{dataset} could not be sealed")


def destroy_snapshot(dataset: str, name: str) -> None:
    """Destroy one snapshot. Raises StorageError if it is held or has clones."""
    for mounted in mounts_of(f"{dataset}@{name}"):
        umount(mounted.target)
    zfs(["zfs", "destroy", f"{dataset}@{name}"], f"{dataset}@{name} cannot be destroyed")


def written_since(dataset: str, name: str) -> int:
    """Bytes written to a dataset since a snapshot, as of the last sync; 0 means that nothing has changed."""
    return int(value(dataset, f"written@{name}"))


def hold(dataset: str, name: str, tag: str) -> None:
    """Keep a snapshot from being destroyed by anyone."""
    zfs(["zfs", "hold", tag, f"{dataset}@{name}"], f"{dataset}@{name} cannot be held")


def release(dataset: str, name: str, tag: str) -> None:
    """Release a hold."""
    zfs(["zfs", "release", tag, f"{dataset}@{name}"], f"{dataset}@{name} cannot be released")


def held(dataset: str, names: Sequence[str], tag: str) -> set[str]:
    """Which of these snapshots carry a hold with this tag."""
    if not names:
        return set()
    argv: list[Argument] = ["zfs", "holds", "-H", *(f"{dataset}@{name}" for name in names)]
    lines = zfs(argv, f"the holds of {dataset} cannot be listed").text.splitlines()
    found = (line.split("\t") for line in lines)
    return {fields[0].partition("@")[2] for fields in found if fields[1] == tag}
