"""A power cut while damaged files are healed: every name leads to the damaged file or to the whole healed one.

The disk is recorded while `verify --heal` works, and rebuilt as a cut at many points would leave it (see `powercut`).

    SNAPMIRROR_TEST_LONG=1    every flush, up to 40 cuts between two of them, and every stack
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.conftest import Figures
from tests.support import powercut
from tests.support.crash import spread
from tests.support.files import flip, put
from tests.support.fingerprint import Fingerprint, compare, fingerprint
from tests.support.runner import LONG, Scene
from tests.support.storage import FEW_STACKS, STACKS, TINY, hide_dm_crypt, stack_image

BETWEEN, MOST, HEAL_EACH = (40, 1_000_000, 1) if LONG else (12, 40, 8)
KEEP = 3
BIG = b"0123456789" * 20_000
SURE = ("kind", "content", "mode", "uid", "gid", "mtime_ns", "size", "xattrs")
"""What a file has at every moment. (Which names are one file changes name by name; a folder's time is set last.)"""


def damaged_store(scene: Scene) -> tuple[list[Fingerprint], list[Fingerprint]]:
    """Four nights, of which three are kept and one is parked, then damage: each slot before it and after."""
    source = scene.source
    put(source / "big", BIG)
    put(source / "twin", b"linked")
    (source / "etc").mkdir()
    os.link(source / "twin", source / "etc" / "twin")
    put(source / "marked", b"with an attribute")
    os.setxattr(source / "marked", "user.colour", b"red")
    for night in range(4):
        put(source / "changing", b"version %d" % night)
        os.utime(source / "changing", (0, night))
        scene.night()
    with open_store(load(scene.config)):
        good = [fingerprint(tree) for tree in scene.slots().values()]
        for name in ("big", "twin", "marked"):
            flip(scene.slots()[2] / name)
        bad = [fingerprint(tree) for tree in scene.slots().values()]
    return good, bad


@pytest.mark.parametrize(("encryption", "filesystem"), STACKS if LONG else FEW_STACKS)
def test_a_power_cut_while_healing(
    folder: Path, encryption: str, filesystem: str, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    if encryption == "luks1":
        hide_dm_crypt(folder / "bin", monkeypatch.setenv)
    scene = Scene(folder / "scene", image=stack_image(folder, encryption, filesystem))
    scene.configure(KEEP, acls=True, xattrs=True)
    initialise(load(scene.config), workload=TINY)
    good, bad = damaged_store(scene)
    image, before = Path(scene.image["file"]), folder / "before.img"
    image.rename(before)
    with powercut.recorded(before, folder / "writes.log", image):
        result = scene.command("verify", "--heal", "--json")
        assert result.exit_code == 3, str(result)
        findings = result.json["mirrors"][0]["findings"]
        assert len(findings) == 4 and all(finding["not_healed"] is None for finding in findings)
    log = powercut.Log(folder / "writes.log")
    try:
        cuts = spread(log.cuts(random.Random(filesystem), BETWEEN), MOST)
        ends, completed, again = Counter[str](), 0, 0
        for number, (cut, disk) in enumerate(powercut.disks(log, before, cuts, folder)):
            disk.rename(image)
            where = f"cut {number}, {cut}"
            with open_store(load(scene.config), read_only=True):
                found = states(scene.slots().values(), good, bad, where)
                begun = (scene.home / ".snapmirror" / "healing.json").exists()
            ends["in part" if len(found) > 1 else found.pop()] += 1
            if begun or number % HEAL_EACH == 0:
                check_healing(scene, good, bad, night=begun, where=where)
                completed += begun
                again += not begun
    finally:
        log.close()
    assert ends.keys() == {"damaged", "in part", "healed"}, "the cuts lie before, in and after the healing"
    assert completed, "and some while a journal tells what is to be done"
    told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    figures.add(
        f"power cuts while healing, {encryption} {filesystem}: {ends.total()} tried (found {told}), "
        f"{completed} completed by a night, {again} by healing again, 0 lost"
    )


def states(trees: Iterable[Path], good: list[Fingerprint], bad: list[Fingerprint], where: str) -> set[str]:
    """Each file is as it was before the damage, or as the damage has left it; which of the two there are."""
    found = set[str]()
    for tree, healthy, sick in zip(trees, good, bad, strict=True):
        now = fingerprint(tree)
        assert now.keys() == healthy.keys(), where
        for path, mark in now.items():
            if mark.kind == "directory":
                continue
            healed, damaged = ([getattr(one[path], name) for name in SURE] for one in (healthy, sick))
            state = [getattr(mark, name) for name in SURE]
            assert state in (healed, damaged), f"{where}: {path!r} in {tree.name} is neither damaged nor healed: {mark}"
            if healed != damaged:
                found.add("healed" if state == healed else "damaged")
    return found


def check_healing(scene: Scene, good: list[Fingerprint], bad: list[Fingerprint], *, night: bool, where: str) -> None:
    """Healed again all is well; so it is after a night in between, which completes what the cut has left."""
    gone = int(night)  # the oldest expires
    good, bad = good[: KEEP - gone], bad[: KEEP - gone]
    if night:
        scene.night("--accept-changes")  # an older disk than the machine knows
        with open_store(load(scene.config), read_only=True):
            states(list(scene.slots().values())[gone:], good, bad, f"{where}, after a night")
    result = scene.command("verify", "--heal")
    assert result.exit_code in (0, 3), f"{where}: {result}"
    assert scene.command("verify", "--full").exit_code == 0, where
    assert scene.leftovers() == []
    with open_store(load(scene.config), read_only=True):
        for tree, mark in zip(list(scene.slots().values())[gone:], good, strict=True):
            lines = compare(mark, fingerprint(tree))
            assert not lines, f"{where}: {tree.name}:\n" + "\n".join(lines)
