"""Manifests of big trees, in pieces: what has not changed is shared where the file system can, and nothing is lost."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.snapshots.entry import key_of
from snapmirror.snapshots.lines import Line, since_prefix, unnumbered, with_number
from snapmirror.snapshots.manifest import Header, Reader, Writer, store
from snapmirror.snapshots.manifest.pieces import located
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from snapmirror.tools import filesystems
from tests.conftest import Figures
from tests.support import powercut
from tests.support.files import put
from tests.support.manifests import in_pieces
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import History, Scene
from tests.support.storage import TINY, stack_image
from tests.support.trees import Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
FILES = 40_000


@pytest.fixture(params=["xfs", "ext4"])
def scene(folder: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(folder / "scene", image=stack_image(folder, "none", request.param))
    scene.configure()
    initialise(load(scene.config), workload=TINY)
    yield scene


@cache
def manifest(changed: frozenset[int]) -> bytes:
    """Of a tree with random times, in which some files have changed."""
    rng = random.Random(1)
    writer = Writer(Header("2026-11-20T030000Z", 1), in_pieces=True)
    names = [b"%03d/%06d" % (number % 500, number) for number in range(FILES)]
    for number, name in enumerate(sorted(names, key=lambda name: key_of(name, is_directory=False))):
        size, seconds = rng.randrange(10**5), rng.randrange(86400) * (number not in changed)
        time = b"%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
        line = b">f+++++++++|rw-r--r--|0|0|%d|2026/11/20-%s|//%s" % (size, time, name)
        writer.add(with_number(since_prefix(1), Line(line)))
    return writer.finish()


def room(folder: Path) -> int:
    """Bytes that are free once all has its place."""
    filesystems.flush(folder)
    found = os.statvfs(folder)
    return found.f_bfree * found.f_frsize


def test_what_is_in_the_manifest_before_takes_no_room(scene: Scene, request: pytest.FixtureRequest) -> None:
    can_share = request.node.callspec.params["scene"] == "xfs"
    rng = random.Random(2)
    changed: set[int] = set()
    before: Path | None = None
    with open_store(load(scene.config)) as opened:
        for night in range(8):
            changed |= {rng.randrange(FILES) for _ in range(15)}
            data, path, free = manifest(frozenset(changed)), opened.path / f"{night}.zst", room(opened.path)
            store(path, data, before)
            used = free - room(opened.path)
            assert (used < 0.5 * len(data)) == (can_share and night > 0), (night, used, len(data))
            assert list(Reader(path)) == list(Reader(data))
            if before is not None and night != 3:
                before.unlink()
            before = path
    with open_store(load(scene.config), read_only=True) as opened:  # from the device, not from what memory holds of it
        for night in (2, 7):
            reader, path = Reader(data), opened.path / f"{night}.zst"
            assert (list(Reader(path)) == list(reader)) == (night == 7)
            assert any(piece.lines for piece in Reader(path).pieces())


def test_where_little_is_the_same_nothing_is_shared(scene: Scene) -> None:
    with open_store(load(scene.config)) as opened:
        store(opened.path / "1.zst", manifest(frozenset()), None)
        data = manifest(frozenset(range(0, FILES, 100)))
        store(opened.path / "2.zst", data, opened.path / "1.zst")
        assert (opened.path / "2.zst").read_bytes() == data


def test_power_cuts_while_it_is_stored(folder: Path, figures: Figures) -> None:
    """Whatever was flushed is there, in all manifests that have blocks in common, whichever of them goes."""
    scene = Scene(folder / "scene", image=stack_image(folder, "none", "xfs"))
    scene.configure()
    initialise(load(scene.config), workload=TINY)
    image, before, writes = Path(scene.image["file"]), folder / "before.img", folder / "writes.log"
    image.rename(before)
    rng = random.Random(3)
    nights = [manifest(frozenset(rng.randrange(FILES) for _ in range(15))) for _ in range(4)]
    wanted, ends = [list(Reader(night)) for night in nights], []
    with powercut.recorded(before, writes, image), open_store(load(scene.config)) as opened:
        for night, data in enumerate(nights):
            store(opened.path / f"{night}.zst", data, opened.path / f"{night - 1}.zst" if night else None)
            filesystems.flush(opened.path)
            ends.append(writes.stat().st_size)
            if night > 1:
                (opened.path / f"{night - 2}.zst").unlink()
    log = powercut.Log(writes)
    right: list[set[bytes]] = [set() for _ in nights]  # files that were read line by line already
    try:
        cuts = log.cuts(random.Random(4), 40)
        for number, (cut, disk) in enumerate(powercut.disks(log, before, cuts, folder)):
            disk.rename(image)
            done = sum(end <= cut.log_end for end in ends)
            with open_store(load(scene.config), read_only=True) as opened:
                for night in range(done):
                    path = opened.path / f"{night}.zst"
                    if night < done - 2 and not path.exists():
                        continue
                    if path.read_bytes() not in right[night]:
                        assert list(Reader(path)) == wanted[night], f"cut {number}, {cut}: manifest of night {night}"
                        right[night].add(path.read_bytes())
    finally:
        log.close()
    figures.add(f"power cuts while manifests are stored: {len(cuts)}, 0 lost")


def test_nights_go_on_in_pieces(scene: Scene) -> None:
    rng, tree, history = random.Random(5), Tree(scene.source), History(scene)
    scene.configure(keep_last=2)
    for number in range(3000):
        put(scene.source / f"{number % 40:02d}/{number:04d}", b"", 1_000_000 + rng.randrange(10**8))
    tree.grow(random_kinds(rng, 40))
    for night in range(9):
        damaged = night == 7
        if damaged:
            put(scene.source / "07/0007", b"changed", 1_000_000)
        live_a_day(tree, random_changes(rng, 12) if night else [])
        result = scene.night("--accept-changes", expect=(3,) if damaged else (0,))
        assert damaged == any("compared with the tree" in one for one in result.mirror["warnings"]), str(result)
        tree.published()
        with open_store(load(scene.config)):
            history.check()
            history.check_newest(tree.fingerprint())
            newest = max((scene.home / ".snapmirror/manifests").iterdir())
            if night == 0:
                in_pieces(newest)
            reader = Reader(newest)
            places = len(reader.places)
            assert (places > 20) == (not damaged)
            assert {unnumbered(line) for line in Reader(newest)} >= {
                line for one in reader.pieces() for line in one.lines
            }
            if night == 6:
                spoil(newest, b"//07/0007")
            if damaged:
                in_pieces(newest)
    assert scene.command("verify").exit_code == 0


def spoil(path: Path, name: bytes) -> None:
    """Damage the piece that a name is in."""
    reader = Reader(path)
    for (at, place), piece in zip(located(reader.places, reader.body), reader.pieces(), strict=False):
        if any(line.endswith(name) for line in piece.lines):
            data = bytearray(path.read_bytes())
            data[at + place.length // 2] ^= 0xFF
            path.write_bytes(data)
            return
    raise AssertionError(f"{name!r} is in no piece")
