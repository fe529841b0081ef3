"""What somebody else may put in the place of a file or folder of ours, and the victims that it would lead to."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from tests.support.fingerprint import Fingerprint, compare, fingerprint

LINKS = ("link to a file", "relative link", "link to a folder", "dangling link")
WAITING = ("pipe", "socket")
KINDS = (*LINKS, "hard link", *WAITING, "folder")
_SECRET = b"root:$6$not-ours\n" * 10


class Victims:
    """A file and a folder that are not ours, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tree" / "inner").mkdir(parents=True)
        for path in (self.file, self.tree / "one.zst", self.tree / "inner" / "two"):
            path.write_bytes(_SECRET)
        self._before = self._fingerprint()

    @property
    def file(self) -> Path:
        return self.folder / "file"

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def absent(self) -> Path:
        """What a dangling link leads to: it must not come into being."""
        return self.folder / "absent"

    def plant(self, place: Path, kind: str) -> None:
        """Put it there, instead of what there is."""
        remove(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "hard link":
            os.link(self.file, place)
            self._before = self._fingerprint()
        elif kind == "pipe":
            os.mkfifo(place)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(place))
        elif kind == "folder":
            place.mkdir()
            (place / "a").write_bytes(_SECRET)
        else:
            place.symlink_to(self._target(place, kind))

    def _target(self, place: Path, kind: str) -> Path:
        if kind == "relative link":
            return Path(os.path.relpath(self.tree, place.parent.resolve()))
        return {"link to a file": self.file, "link to a folder": self.tree, "dangling link": self.absent}[kind]

    def check(self, where: str) -> None:
        """Nothing of them has changed."""
        lines = compare(self._before, self._fingerprint())
        assert not lines, f"{where}: a victim was touched:\n" + "\n".join(lines)

    def _fingerprint(self) -> Fingerprint:
        return fingerprint(self.folder)


def remove(place: Path) -> None:
    """Whatever it is."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
