"""A night that uses no shortcut (handles, lists of changes, manifests in pieces) is the same night.

Two histories of one source live through the same nights, one with all shortcuts and one with none. On XFS in an image:
it has lasting handles, and files that share blocks.
"""

from __future__ import annotations

import json
import os
import random
import re
import stat
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.model import Silent
from snapmirror.night.night import Night, Options
from snapmirror.pipeline import Pipeline
from snapmirror.snapshots import checksums, record
from snapmirror.snapshots.hardlink.history import HardlinkHistory
from snapmirror.snapshots.manifest import Reader
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import OpenStore, open_store
from tests.support.files import put
from tests.support.fingerprint import fingerprint
from tests.support.manifests import in_pieces
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import ID, Scene
from tests.support.storage import TINY, stack_image
from tests.support.trees import Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="file handles and loop devices need root")
KEEP, NIGHTS, FILES = 2, 8, 1200
WITH, WITHOUT = "with", "without"


def night(scene: Scene, name: str, *, full: bool) -> None:
    """A night of the history of this name."""
    config = load(scene.config)
    with Pipeline() as pipeline:
        store: OpenStore = pipeline.hold("open the store", open_store(config))
        history = HardlinkHistory(store.path / name, shortcuts=name == WITH)
        options = Options(full=full, accept_changes=True)
        report = Night(config.mirrors[0], store, history, options, pipeline, Silent()).run()
    assert (report.result, report.warnings) == ("published", [])


def inodes(root: Path) -> dict[tuple[str, bytes], int]:
    """Which names of all snapshots are one inode: each has the number of the first of them."""
    found: dict[tuple[str, bytes], int] = {}
    numbers: dict[int, int] = {}
    for slot in sorted(root.glob("backup.*")):
        for folder, _, files in sorted(os.walk(os.fsencode(slot))):
            for name in sorted(files):
                path = os.path.join(folder, name)
                inode = numbers.setdefault(os.lstat(path).st_ino, len(numbers))
                found[slot.name, os.path.relpath(path, os.fsencode(slot))] = inode
    return found


def told(root: Path) -> object:
    """What a history says of itself, but for the clock and for how a manifest lies in its file."""
    home = root / ".snapmirror"
    known = record.load(home / "record.json")
    numbers = {one.id: f"number {one.sequence}" for one in known.snapshots}
    if known.parked is not None:
        [parked] = {path.name.removesuffix(".zst") for path in (home / "manifests").iterdir()} - numbers.keys()
        assert known.parked == parked
        numbers[parked] = f"number {Reader(home / 'manifests' / f'{parked}.zst').header.sequence}"
    text = json.dumps(json.loads(known.model_dump_json()), indent=1)
    text = re.sub(r'"seconds": [\d.]+', '"seconds": 0', text)
    text = ID.sub(lambda found: numbers[found[0]], text)
    manifests = {}
    for path in (home / "manifests").iterdir():
        reader = Reader(path)
        lines = list(reader)
        manifests[reader.header.sequence] = (lines, reader.totals, list(reader.numbers))
    sums = {path.name: sorted(checksums.read(path)) for path in (home / "sums").iterdir()}
    return text, manifests, sums


def test_nights_with_and_without_are_the_same(folder: Path) -> None:
    scene = Scene(folder / "scene", image=stack_image(folder, "none", "xfs"))
    scene.configure(keep_last=KEEP)
    initialise(load(scene.config), workload=TINY)
    rng, tree = random.Random("shortcuts"), Tree(scene.source)
    for number in range(FILES):
        put(scene.source / f"{number % 40:02d}/{number:04d}", b"%d" % number, 1_000_000 + rng.randrange(10**8))
    tree.grow(random_kinds(rng, 40))
    for number in range(NIGHTS):
        if number:
            live_a_day(tree, random_changes(rng, 15))
        tree.settle()
        for name in (WITH, WITHOUT):
            night(scene, name, full=number == NIGHTS - 2)
        tree.published()
        with open_store(load(scene.config)) as store:
            one, other = store.path / WITH, store.path / WITHOUT
            if number == 0:
                [first] = (one / ".snapmirror/manifests").iterdir()
                in_pieces(first)
            for slot in sorted(path.name for path in one.glob("backup.*")):
                assert fingerprint(one / slot) == fingerprint(other / slot), (number, slot)
                assert stat.S_ISDIR((one / slot).lstat().st_mode)
            assert inodes(one) == inodes(other), number
            assert told(one) == told(other), number
            newest = max((one / ".snapmirror/manifests").iterdir())
            assert Reader(newest).places, "its manifests are in pieces"
            assert not Reader(max((other / ".snapmirror/manifests").iterdir())).places
            if number:
                assert all(list((one / ".snapmirror" / notes).iterdir()) for notes in ("hints", "changes"))
            assert not any(list((other / ".snapmirror" / notes).iterdir()) for notes in ("hints", "changes"))
