"""A power cut while the image is copied, or the USB disk pulled out: on the disk that is left, the old copy or the new.

The disk is an ext4 whose writes and flushes are recorded; it is rebuilt as cuts at many points would leave it.
"""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Figures
from tests.support import powercut
from tests.support.copying import UPDATE_LIST, WHOLE, Copying, by_hand, sum_of
from tests.support.crash import spread
from tests.support.runner import LONG

BETWEEN, MOST = (40, 1_000_000) if LONG else (3, 15)


@contextmanager
def plugged_in(disk: Path, folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "--options", "loop", disk, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_power_cuts_while_copying(tmp_path: Path, figures: Figures) -> None:
    copying = Copying(tmp_path / "scene")
    mount_point = copying.disk.with_name("mounted")
    mount_point.mkdir()
    copying.disk = mount_point / "on-it"
    before, shown = tmp_path / "before.img", tmp_path / "shown.img"
    with before.open("wb") as file:
        file.truncate(300 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", before], check=True)
    copying.scene.night()
    with powercut.recorded(before, tmp_path / "writes.log", shown):
        with plugged_in(shown, mount_point):
            copying.disk.mkdir()
            copying.report()
        old, first_end = sum_of(copying.image), (tmp_path / "writes.log").stat().st_size
        copying.write("file5", 2_000_000)
        copying.scene.night()
        with plugged_in(shown, mount_point):
            copying.report()
    new = sum_of(copying.image)
    log = powercut.Log(tmp_path / "writes.log")
    kinds, seen = Counter[str](), Counter[str]()
    try:
        cuts = [cut for cut in log.cuts(random.Random(1), BETWEEN) if cut.log_end > first_end]
        for number, (cut, disk) in enumerate(powercut.disks(log, before, spread(cuts, MOST), tmp_path)):
            kinds[cut.kind] += 1
            with plugged_in(disk, mount_point):
                seen[state_of(copying, old, new, f"cut {number}, {cut}", hand=number % 3 == 0)] += 1
                assert copying.copying().exit_code == 0
                assert sum_of(copying.copy) == new
                assert copying.names() == WHOLE
    finally:
        log.close()
    assert set(seen) == {"old", "update", "new"}, seen
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    left = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
    figures.add(f"power cuts while copying: {kinds.total()} tried ({told}); left were {left}; 0 lost")


def state_of(copying: Copying, old: str, new: str, where: str, *, hand: bool) -> str:
    """What a cut has left: the old copy, the new one, or all that makes it."""
    if copying.copy.exists():
        found = sum_of(copying.copy)
        assert found in {old, new}, f"{where}: the copy is neither the old one nor the new one"
        return "old" if found == old else "new"
    assert UPDATE_LIST in copying.names(), f"{where}: there is no copy, and nothing that makes one"
    if hand:
        assert sum_of(by_hand(copying.disk)) == new, where
    return "update"


@pytest.fixture(autouse=True)
def tidy(tmp_path: Path) -> Iterator[None]:
    yield
    for path in tmp_path.rglob("*.img"):
        path.unlink()
