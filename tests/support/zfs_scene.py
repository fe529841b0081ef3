"""A scene whose store is a ZFS pool on a file. Needs a kernel with ZFS: the guest of tests/e2e/test_zfs.py has one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.runner import ID, Scene


@dataclass
class ZfsScene(Scene):
    """`Scene`, with its snapshots where ZFS shows them."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pool = f"test{os.getpid()}"
        self.disk = self.folder / "disk"
        if not self.zfs:
            with self.disk.open("xb") as file:
                file.truncate(160 << 20)  # small: the self-test of init is, too
            self.zfs = {"pool": self.pool, "devices": [str(self.disk)]}
        super().__post_init__()

    @contextmanager
    def browsing(self) -> Iterator[None]:
        """Opened by ZFS' own tools: no snapmirror is needed to look at snapshots, and this is quicker."""
        run = partial(subprocess.run, check=True)
        run(["zpool", "import", "-N", "-o", "readonly=on", "-o", "cachefile=none", "-d", str(self.disk), self.pool])
        try:
            places = {f"{self.pool}/store": self.store, f"{self.pool}/store/{self.name}": self.home / "current"}
            for dataset, place in places.items():
                if subprocess.run(["zfs", "list", dataset], capture_output=True, check=False).returncode == 0:
                    run(["mount", "-t", "zfs", "-o", "ro", dataset, str(place)])
            yield
        finally:
            run(["umount", "--recursive", str(self.store)])
            run(["zpool", "export", self.pool])

    def slots(self) -> dict[int, Path]:
        """Snapshots by number, as the dated names show them: the newest is 1."""
        by_date = self.home / "by-date"
        names = sorted((link.name for link in by_date.iterdir()), reverse=True) if by_date.is_dir() else []
        return {number: (by_date / name).resolve() for number, name in enumerate(names, start=1)}

    def published(self) -> dict[str, Path]:
        """Snapshots by id, newest first; asserts that the dated names are those of ZFS' own snapshots."""
        if not (self.home / "by-date").is_dir():
            return {}
        dated = {}
        for link in (self.home / "by-date").iterdir():
            assert ID.fullmatch(link.name), f"unexpected in by-date: {link.name!r}"
            assert str(link.readlink()) == f"../current/.zfs/snapshot/{link.name}/tree"
            dated[link.name] = link.resolve()
        assert sorted(dated) == sorted(os.listdir(self.home / "current/.zfs/snapshot"))
        return dict(sorted(dated.items(), reverse=True))

    def leftovers(self) -> list[str]:
        """Also pools."""
        return [*super().leftovers(), *(f"pool {self.pool}" for _ in range(self.pool in self._pools()))]

    def _pools(self) -> list[str]:
        listed = subprocess.run(["zpool", "list", "-H", "-o", "name"], check=True, capture_output=True, text=True)
        return listed.stdout.split()

    def release(self) -> None:
        """The pool goes, too."""
        super().release()
        if self.pool in self._pools():
            subprocess.run(["zpool", "destroy", "-f", self.pool], check=False)
