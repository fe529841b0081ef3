"""A store in an image, and a folder that stands for the USB disk it is copied to; also by hand, as the README says."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import subprocess
from pathlib import Path

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from tests.support.runner import REPOSITORY, Result, Scene
from tests.support.storage import TINY

WHOLE = {"store.img", "store.img.json", "store.img.sums"}
UPDATE_LIST = "store.img.update.list"


class Copying:
    """A store in an image, and a folder that stands for the USB disk."""

    def __init__(self, folder: Path) -> None:
        self.disk = folder / "usb"
        self.disk.mkdir(parents=True)
        self.image = folder / "img" / "store.img"
        self.image.parent.mkdir()
        self.scene = Scene(folder, image={"file": str(self.image), "size": "512M", "encryption": "none"})
        initialise(load(self.scene.config), workload=TINY)
        self._random = random.Random(4)
        for number in range(30):
            self.write(f"file{number}")

    @property
    def copy(self) -> Path:
        return self.disk / "store.img"

    def write(self, name: str, length: int = 100_000) -> None:
        (self.scene.source / name).write_bytes(self._random.randbytes(length))

    def copying(self, *words: str) -> Result:
        return self.scene.command("copy-image", str(self.disk), *words)

    def report(self, *words: str, code: int = 0) -> dict[str, object]:
        result = self.copying("--json", *words)
        assert result.exit_code == code, str(result)
        assert isinstance(result.json, dict)
        return result.json

    def names(self) -> set[str]:
        return {path.name for path in self.disk.iterdir()}


def sum_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha1").hexdigest()


def whole_copy(source: str, target: str) -> str:
    """With its time, which the checksums go by."""
    subprocess.run(["cp", "--archive", "--sparse=always", source, target], check=True)
    return target


def by_hand(disk: Path) -> Path:
    """The update applied by stock tools, with the lines of the README."""
    page = (REPOSITORY / "README.md").read_text().split("## Copy to a USB disk")[1].split("\n## ")[0]
    match = re.search(r"\n\n((?:    .*\n)*    .*dd if=(?:.*\n)(?:    .*\n)*)", page)
    assert match, "the page has the commands"
    script = re.sub(r"(?m)^    ", "", match[1]).replace("snapmirror.img", "store.img")
    by_hand = disk.with_name("by-hand")
    shutil.copytree(disk, by_hand, copy_function=whole_copy, dirs_exist_ok=True)
    done = subprocess.run(["bash", "-eu", "-c", script], check=False, cwd=by_hand, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = disk.with_name("by-hand.img")
    (by_hand / "store.img").replace(result)
    shutil.rmtree(by_hand)
    return result
