"""A store in an image, and a folder that stands for the USB disk it is copied to; by hand, too, by the page `copy`."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from snapmirror import pages
from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.support.runner import Result, Scene
from tests.support.storage import TINY

WHOLE = {"store.img", "store.img.json", "store.img.sums"}
_BLOCK, _PIECE = 4096, 1 << 20
UPDATE_LIST = "store.img.update.list"


class Copying:
    """A store in an image, and a folder that stands for the USB disk."""

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None) -> None:
        self.disk = folder / "usb"
        self.disk.mkdir(parents=True)
        self.image = folder / "img" / "store.img"
        self.image.parent.mkdir()
        image = {"size": "512M", "encryption": "none", **(settings or {}), "file": str(self.image)}
        self.scene = Scene(folder, image=image)
        initialise(load(self.scene.config), workload=TINY)
        self._random = random.Random(4)
        for number in range(30):
            self.write(f"file{number}")

    @property
    def copy(self) -> Path:
        return self.disk / "store.img"

    def write(self, name: str, length: int = 100_000) -> None:
        (self.scene.source / name).write_bytes(self._random.randbytes(length))

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """The store, to be damaged in there."""
        with open_store(load(self.scene.config)) as store:
            yield store.path

    def copying(self, *words: str) -> Result:
        return self.scene.command("copy-image", str(self.disk), *words)

    def report(self, *words: str, code: int = 0) -> dict[str, object]:
        result = self.copying("--json", *words)
        assert result.exit_code == code, str(result)
        assert isinstance(result.json, dict)
        return result.json

    def names(self) -> set[str]:
        """Of all files there, but for the former generations."""
        return {path.name for path in self.disk.iterdir() if ".former." not in path.name}

    def former(self) -> list[str]:
        """What the files of each former generation begin with, the newest first; those that are complete."""
        lists = (path.name for path in self.disk.glob("*.former.*.update.list"))
        return sorted((name.removesuffix(".update.list") for name in lists), reverse=True)


def sum_of(file: Path) -> str:
    """The same for the same bytes, wherever they have holes: of each block of 4096 bytes that is not all zeros.

    Holes are not read, which would be most of an image.
    """
    size = file.stat().st_size
    digest, at, zeros = hashlib.sha1(b"%d" % size), 0, bytes(_BLOCK)
    with file.open("rb", buffering=0) as opened:
        while (found := _next(opened, at, os.SEEK_DATA, size)) < size:
            at = found // _BLOCK * _BLOCK
            end = _next(opened, at, os.SEEK_HOLE, size)
            opened.seek(at)
            while at < end and (piece := opened.read(_PIECE)):
                for start in range(0, len(piece), _BLOCK):
                    block = piece[start : start + _BLOCK]
                    if block != zeros[: len(block)]:
                        digest.update(b"%d " % (at + start))
                        digest.update(block)
                at += len(piece)
    return digest.hexdigest()


def _next(file: IO[bytes], at: int, what: int, size: int) -> int:
    """Where the next data or hole begins; the end, where there is none."""
    try:
        return file.seek(at, what)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size


def whole_copy(source: str, target: str) -> str:
    """With its time, which the checksums go by."""
    subprocess.run(["cp", "--archive", "--sparse=always", source, target], check=True)
    return target


def by_hand(disk: Path, *former: str) -> Path:
    """The update, or former generations in turn, applied by stock tools, by the lines of the page `copy`."""
    page = pages.text("copy")
    match = re.search(r"\n\n((?:    .*\n)*    .*dd if=(?:.*\n)(?:    .*\n)*)", page)
    assert match, "the page has the commands"
    script = re.sub(r"(?m)^    ", "", match[1]).replace("snapmirror.img", "store.img")
    by_hand = disk.with_name("by-hand")
    shutil.copytree(disk, by_hand, copy_function=whole_copy, dirs_exist_ok=True)
    for name in former or ("store.img",):
        lines = script.replace("store.img.update", f"{name}.update")
        done = subprocess.run(["bash", "-eu", "-c", lines], check=False, cwd=by_hand, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    result = disk.with_name("by-hand.img")
    (by_hand / "store.img").replace(result)
    shutil.rmtree(by_hand)
    return result
