"""A disk with errors, under nights that go on: each ends with a sentence, and the next, on a sound disk, recovers.

The image is shown by qemu-storage-daemon, whose `blkdebug` lets the n-th read, write or flush fail with EIO, once or
from then on; what has been read before the night is not in any cache.

    SNAPMIRROR_TEST_LONG=1    hundreds of errors, instead of a dozen
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from tests.conftest import Figures
from tests.support import blockdev, crash
from tests.support.blockdev import Failure
from tests.support.runner import LONG, Result, Scene
from tests.support.storage import STACKS, TINY, hide_dm_crypt, stack_image
from tests.support.victim import Victim

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
WORDS = ("--json", "--accept-changes")
EACH = 20 if LONG else 1
FLUSHES = 12  # of a night, or a few more


class Ill:
    """A store in an image, whose disk can be exchanged for one with errors."""

    def __init__(self, folder: Path, encryption: str, filesystem: str) -> None:
        self.scene = Scene(folder / "scene", image=stack_image(folder, encryption, filesystem))
        self.disk, self.sound = Path(self.scene.image["file"]), folder / "sound.img"
        self.scene.configure(keep_last=2)
        initialise(load(self.scene.config), workload=TINY)
        self.victim = Victim(self.scene, f"{encryption} {filesystem}")
        for _ in range(4):
            self.victim.day()
            self.victim.night()
        self.victim.day()

    @contextmanager
    def on(self, failure: Failure | None, trace: Path | None = None) -> Iterator[None]:
        """The disk has this error."""
        self.disk.rename(self.sound)
        try:
            with blockdev.exported(blockdev.failing(self.sound, failure), self.disk, trace=trace):
                yield
        finally:
            self.disk.unlink(missing_ok=True)
            self.sound.rename(self.disk)

    def counts(self, folder: Path) -> dict[str, int]:
        """How much a night reads and writes on a sound disk."""
        trace = folder / "trace"
        with self.on(None, trace):
            result = self.scene.night("--accept-changes")
        self.victim.check(result.mirror["snapshot"])
        return {**blockdev.traced(trace), "flush": FLUSHES}

    def night(self, failure: Failure) -> int:
        """A night with this error, and the next one without it."""
        before, where = self.victim.history.ids, f"at {failure}"
        self.victim.day()
        with self.on(failure):
            result = self.scene.command("run", *WORDS)
            assert result.exit_code in (0, 3, 11, 12), f"{where}: {result}"
            assert self.scene.leftovers() == [], f"{where}: {result}"
        self.told(result, where)
        if result.exit_code in (0, 3) and result.mirror["snapshot"]:
            with self.scene.browsing():
                assert self.victim.history.check(where=f", {where}: {result}")[0] != before[0]
        self.victim.day()
        self.victim.night()
        return result.exit_code

    def told(self, result: Result, where: str) -> None:
        if result.exit_code not in (0, 3):
            report = result.json
            [said] = {report.get("error"), *(mirror["error"] for mirror in report["mirrors"])} - {None}
            assert said, f"{where}: {result}"


@pytest.mark.parametrize(("encryption", "filesystem"), STACKS if LONG else [("none", "xfs"), ("luks1", "ext4")])
def test_the_disk_fails(
    folder: Path, encryption: str, filesystem: str, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    if encryption == "luks1":
        hide_dm_crypt(folder / "bin", monkeypatch.setenv)
    ill = Ill(folder, encryption, filesystem)
    counts, ends = ill.counts(folder), Counter[str]()
    for kind in ("read", "write", "flush"):
        numbers = crash.spread(range(1, counts[kind] + 1), EACH) if LONG else [counts[kind] // 2]
        for lasting in (False, True):
            for number in numbers:
                failure = Failure(kind, number, lasting)
                ends[f"{kind} {'lasting' if lasting else 'once'}: {ill.night(failure)}"] += 1
    ill.victim.verify()
    told = ", ".join(f"{end} × {count}" for end, count in sorted(ends.items()))
    figures.add(f"disk errors, {encryption} {filesystem}: {ends.total()} tried of {counts} ({told}), 0 lost")
