"""Places that are full: no space or no inodes in the image, on the disk below it, in the state or temporary folder.

Programs: mount, umount, mkfs.xfs, mkfs.ext4.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snapmirror.config import load
from snapmirror.storage.image import read_record
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.support.runner import Scene
from tests.support.storage import TINY

PLACES = ("image", "inodes", "below", "state", "scratch")
_FILLER = "filler"
_BELOW_MIB = 200  # more than the nights of a test ever take of their image
_SMALL = 4 << 20
_MOST = 1 << 30


class Place:
    """One place of a scene that can be filled to the last byte (or inode), and be emptied again."""

    def __init__(self, scene: Scene, name: str, disk: Path) -> None:
        self.scene, self.name, self._disk = scene, name, disk

    def fill(self) -> None:
        """Nothing more goes in. The image is filled from inside: while it is mounted."""
        folder = self._folder()
        if not os.path.ismount(folder):
            return  # not opened yet, or closed again: it would be the disk of the machine
        if self.name == "inodes":
            _without_inodes(folder)
        else:
            _without_space(folder / _FILLER)

    def empty(self) -> None:
        """As before."""
        if self.name in ("image", "inodes"):
            with open_store(load(self.scene.config)):
                _remove_fillers(self.scene.store)
        else:
            _remove_fillers(self._folder())

    def _folder(self) -> Path:
        return self.scene.store if self.name in ("image", "inodes") else self._disk


@contextmanager
def fillable(folder: Path, filesystem: str, name: str) -> Iterator[Place]:
    """A scene with a new store in an image, and in it the place of this name."""
    disk = folder / "disk"
    image = {"file": str(disk / "disk.img" if name == "below" else folder / "disk.img"), "size": "512M",
             "filesystem": filesystem, "encryption": "none"}  # fmt: skip
    scene = Scene(folder / "scene", image=image)
    if name == "state":
        scene.state = disk
    if name == "scratch":
        scene.environment["TMPDIR"] = str(disk)
    with _disk(disk, name):
        try:
            scene.configure(keep_last=2)
            initialise(load(scene.config), workload=TINY)
            if name == "inodes":
                _make_with_few_inodes(Path(image["file"]), filesystem)
                with open_store(load(scene.config)):
                    pass  # it closes the new file system to others, which is a warning
            yield Place(scene, name, disk)
        finally:
            scene.release()


@contextmanager
def _disk(disk: Path, name: str) -> Iterator[None]:
    """For an image a real one: the loop driver tells nobody of a write that tmpfs took in part (Linux 6.18)."""
    if name == "below":
        with small_volume(disk, _BELOW_MIB):
            yield
        return
    disk.mkdir()
    if name not in ("state", "scratch"):
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SMALL}", "tmpfs", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", disk], check=True)


@contextmanager
def small_volume(folder: Path, mib: int, filesystem: str = "ext4") -> Iterator[Path]:
    """A volume that can be full: a folder with a file system of its own."""
    folder.mkdir(parents=True)
    image = folder.with_name(f"{folder.name}.volume")
    with image.open("wb") as file:
        file.truncate(mib << 20)
    make = {"ext4": ["mkfs.ext4", "-q", "-m", "0"], "xfs": ["mkfs.xfs", "-q"]}[filesystem]
    subprocess.run([*make, image], check=True)
    subprocess.run(["mount", "--options", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        image.unlink()


def _make_with_few_inodes(image: Path, filesystem: str) -> None:
    """In the same image, so that it still is the one that its record tells of."""
    id_ = read_record(image).id
    if filesystem == "ext4":
        argv = ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "12000", "-U", id_]
    else:
        argv = ["mkfs.xfs", "-q", "-f", "-K", "-m", f"reflink=1,uuid={id_}", "-s", "size=4096", "-i", "maxpct=1"]
    subprocess.run([*argv, image], check=True)


def leave(filler: Path, *, blocks: int) -> None:
    """Fill a disk but for so many blocks of 4096 bytes."""
    _without_space(filler)
    os.truncate(filler, filler.stat().st_size - blocks * 4096)


def _without_space(filler: Path) -> None:
    with filler.open("ab") as file:
        for size in (64 << 20, 1 << 20, 4096):
            with _full():
                while file.seek(0, os.SEEK_END) < _MOST:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)


def _without_inodes(folder: Path) -> None:
    with _full():
        for number in range(1 << 20):
            folder.joinpath(f"{_FILLER}.{number}").touch()


@contextmanager
def _full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _remove_fillers(folder: Path) -> None:
    for path in folder.glob(f"{_FILLER}*"):
        with suppress(FileNotFoundError):
            path.unlink()
