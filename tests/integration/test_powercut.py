"""A power cut never hurts: nights on a recorded disk, which is then rebuilt as a cut at many points would leave it.

Each rebuilt disk is opened as always, file system check first. Every snapshot that was sealed before the cut must be
there as it was, and nothing may be published that never was; the next night must recover alone and publish.

    SNAPMIRROR_TEST_LONG=1    every flush, and up to 40 cuts between two of them, with a night after each
"""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.conftest import Figures
from tests.support import powercut
from tests.support.crash import spread
from tests.support.fingerprint import Fingerprint, compare, fingerprint
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import LONG, History, Scene
from tests.support.storage import STACKS, TINY, hide_dm_crypt, stack_image
from tests.support.trees import Tree

NIGHTS = 6  # the ring of three fills, one snapshot expires, and two nights recycle
KEEP = 3
BETWEEN, MOST, NIGHT_EACH = (40, 1_000_000, 1) if LONG else (4, 40, 4)


@dataclass
class Life:
    """A store in a recorded image: what each night made of it, and where in the log it ended."""

    scene: Scene
    before: Path
    log: Path
    history: History
    sources: list[Path] = field(default_factory=list)
    retained: list[list[str]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    @property
    def image(self) -> Path:
        return Path(self.scene.image["file"])

    def nights_before(self, cut: powercut.Cut) -> int:
        """How many nights had ended."""
        return sum(end <= cut.log_end for end in self.ends)

    def owed(self, nights: int) -> list[str]:
        """Snapshots that a cut after this many nights must not have cost, newest first."""
        if not nights:
            return []
        soon = self.retained[min(nights, NIGHTS - 1)]  # what the night that was cut lets expire may be gone already
        return [snapshot for snapshot in self.retained[nights - 1] if snapshot in soon]

    def check_cut(self, owed: list[str], where: str) -> None:
        """Each snapshot folder is one that was sealed, and none that is owed is missing."""
        found: list[Fingerprint] = []
        with open_store(load(self.scene.config), read_only=True):
            for path in self.scene.slots().values():
                found.append(fingerprint(path))
                assert found[-1] in self.history.sealed.values(), f"{where}: {path.name} is no snapshot that was sealed"
        for snapshot in owed:
            assert self.history.sealed[snapshot] in found, f"{where}: {snapshot} is lost"

    def check_next_night(self, nights: int, owed: list[str], where: str) -> None:
        """It recovers alone, and publishes the source of the night that was cut."""
        source = self.sources[min(nights, NIGHTS - 1)]
        self.scene.configure(KEEP, source=f"{source}/")
        result = self.scene.night("--accept-changes")
        assert self.scene.leftovers() == []
        with open_store(load(self.scene.config), read_only=True):
            published = self.scene.published()
            for snapshot in list(published)[1:]:
                lines = compare(self.history.sealed[snapshot], fingerprint(published[snapshot]))
                assert not lines, f"{where}: history changed:\n" + "\n".join(lines)
            self.history.check_newest(fingerprint(source))
        newest, *older = published
        assert newest == result.mirror["snapshot"]
        may_be = [owed]
        if nights < NIGHTS:  # the night that was cut may have been published
            may_be.append([self.retained[nights][0], *owed])
        assert older in [ids[: KEEP - 1] for ids in may_be], f"{where}: {older} are left of {may_be}"


def lived(folder: Path, encryption: str, filesystem: str) -> Life:
    """A store, and some nights of it on the record."""
    rng = random.Random(f"{encryption} {filesystem}")
    scene = Scene(folder / "scene", image=stack_image(folder, encryption, filesystem))
    scene.configure(KEEP)
    initialise(load(scene.config), workload=TINY)
    life = Life(scene, folder / "before.img", folder / "writes.log", History(scene))
    life.image.rename(life.before)
    tree = Tree(scene.source)
    tree.grow(random_kinds(rng, 25))
    tree.settle()
    with powercut.recorded(life.before, life.log, life.image):
        for number in range(NIGHTS):
            if number:
                live_a_day(tree, random_changes(rng, 10))
            life.sources.append(folder / f"source.{number}")
            subprocess.run(["cp", "--archive", scene.source, life.sources[-1]], check=True)
            scene.night("--accept-changes")
            life.ends.append(life.log.stat().st_size)
            with scene.browsing():
                life.retained.append(life.history.check())
            tree.published()
    return life


@pytest.mark.parametrize(("encryption", "filesystem"), STACKS)
def test_power_cuts(
    folder: Path, encryption: str, filesystem: str, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    if encryption == "luks1":
        hide_dm_crypt(folder / "bin", monkeypatch.setenv)
    life = lived(folder, encryption, filesystem)
    log = powercut.Log(life.log)
    try:
        cuts = spread(log.cuts(random.Random(filesystem), BETWEEN), MOST)
        kinds, nights_after = Counter[str](), 0
        for number, (cut, disk) in enumerate(powercut.disks(log, life.before, cuts, folder)):
            disk.rename(life.image)
            nights = life.nights_before(cut)
            owed, where = life.owed(nights), f"cut {number}, {cut}, after {nights} nights"
            life.check_cut(owed, where)
            if number % NIGHT_EACH == 0:
                life.check_next_night(nights, owed, where)
                nights_after += 1
            kinds[cut.kind] += 1
    finally:
        log.close()
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    figures.add(
        f"power cuts, {encryption} {filesystem}: {kinds.total()} tried ({told}), {nights_after} next nights, 0 lost"
    )
