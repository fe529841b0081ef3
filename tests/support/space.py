"""What a night costs in space when a few sectors of a big disk image change: measured, on each kind of store.

    python3 -m tests.support.space FOLDER KIND [MIB [NIGHTS]]

KIND is `zfs`, `reflink` (XFS, clone_above) or `whole` (XFS without it). Prints JSON: bytes that the first night and
each later one took on the store, and their seconds. The store is an image on a local disk, without encryption.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from pathlib import Path

from snapmirror.config import Config, parse
from snapmirror.model import Silent
from snapmirror.night.night import Options
from snapmirror.night.run import run_mirrors
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.support.storage import TINY

SECTORS, SECTOR = 8, 512


def config_of(folder: Path, kind: str, mib: int, nights: int) -> Config:
    versions = nights + 1 if kind == "whole" else 1
    mirror = {
        "name": "disk", "source": f"{folder}/source/", "guard": {"min_free": "1M"},
        "clone_above": "" if kind == "whole" else "64M",
    }  # fmt: skip
    return parse({
        "store": {"path": f"{folder}/store", "state_dir": f"{folder}/state",
                  "backend": "zfs" if kind == "zfs" else "hardlink"},
        "image": {"file": f"{folder}/image", "size": f"{versions * mib + 500}M", "encryption": "none"},
        "mirror": [mirror],
    })  # fmt: skip


def free(config: Config) -> int:
    with open_store(config, read_only=True) as store:
        return store.free_bytes()


def measure(folder: Path, kind: str, mib: int, nights: int) -> dict[str, object]:
    rng = random.Random(kind)
    disk = folder / "source" / "disk.raw"
    disk.parent.mkdir(parents=True)
    with disk.open("wb") as file:
        for _ in range(mib):
            file.write(rng.randbytes(1 << 20))
    config = config_of(folder, kind, mib, nights)
    initialise(config, workload=TINY)
    taken, seconds = [], []
    before = free(config)
    for night in range(nights + 1):
        if night:
            with disk.open("r+b") as file:
                for _ in range(SECTORS):
                    file.seek(rng.randrange(mib << 11) * SECTOR)
                    file.write(rng.randbytes(SECTOR))
            os.utime(disk, (night, 1_700_000_000 + night * 86_400))
            time.sleep(1)  # a snapshot is named by its second
        started = time.monotonic()
        report = run_mirrors(config, [], Options(), Silent())
        assert report.exit_code == 0, report
        seconds.append(round(time.monotonic() - started, 1))
        after = free(config)
        taken.append(before - after)
        before = after
    return {"kind": kind, "mib": mib, "taken_bytes": taken, "seconds": seconds,
            "image_bytes": (folder / "image").stat().st_blocks * 512}  # fmt: skip


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    size, count = (int(word) for word in (*sys.argv[3:], "200", "3")[:2])
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], size, count)))
