"""A store whose file system was crafted by whoever holds it: links, pipes and other devices in the places of ours.

Each place of the layout in turn gets one of them, then people and nights do what they do. What the links lead to stays
as it is, nothing waits, and each command ends as documented.
"""

from __future__ import annotations

import itertools
import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.errors import SnapmirrorError
from snapmirror.history.histories import opened
from snapmirror.snapshots.hardlink.history import HardlinkHistory
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.manifest import Reader
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.support.places import places
from tests.support.planted import KINDS, LINKS, Victims, remove
from tests.support.runner import LONG, Scene
from tests.support.storage import TINY

DOCUMENTED = {0, 2, 3, 11, 12, 14}
SEED = 20
WORST = ("", ".snapmirror/manifests", ".snapmirror/slot", ".snapmirror/staging", ".snapmirror/staging/tmp")
"""Through these everything in a folder was removed, or history was written elsewhere."""


class Crafted:
    """A store with some history, of which a fresh copy is made for each attack."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(folder, mirror={"verify": {"read_all_within_days": 1}})
        self.scene.configure(keep_last=2)
        for night in range(4):
            (self.scene.source / "file").write_text(f"night {night}")
            (self.scene.source / f"new{night}").write_text("same")
            self.scene.night()
        self.good = folder / "good"
        subprocess.run(["cp", "--archive", self.scene.store, self.good], check=True)
        self.ids = list(self.scene.published())
        self.layout = HardlinkLayout(self.scene.home)

    @property
    def places(self) -> list[Path]:
        """As they are now, and as the next night will have them."""
        return places(self.layout, self.ids, [4, 5])

    def fresh(self) -> None:
        remove(self.scene.store)
        subprocess.run(["cp", "--archive", self.good, self.scene.store], check=True)

    def reading(self, out: Path) -> list[list[str]]:
        newest = self.ids[0]
        return [
            ["list"], ["find", "file"], ["verify"], ["status"], ["verify", "--heal"], ["diff", *reversed(self.ids)],
            ["restore", newest, "file", "--to", str(out), "--yes"], ["pin", newest], ["plan"], ["doctor"],
        ]  # fmt: skip


@pytest.fixture(scope="module")
def crafted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crafted]:
    made = Crafted(tmp_path_factory.mktemp("places") / "scene")
    try:
        yield made
        assert made.scene.leftovers() == []
    finally:
        made.scene.release()


def relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root.parent))


def test_a_night_and_a_reader_go_nowhere_else(crafted: Crafted, tmp_path: Path) -> None:
    drawn = random.Random(SEED)
    chosen = [crafted.scene.home / name for name in WORST]
    for number, place in enumerate(crafted.places if LONG else [*chosen, *drawn.sample(crafted.places, 4)]):
        for kind in KINDS if LONG else [drawn.choice([*LINKS, "pipe"]) if number >= len(WORST) else "link to a folder"]:
            crafted.fresh()
            victims = Victims(tmp_path / f"{number}-{kind}")
            victims.plant(place, kind)
            reading = crafted.reading(tmp_path / "out")
            (crafted.scene.source / "file").write_text(f"attack {number}")
            for words in [*(reading if LONG else [drawn.choice(reading)]), ["run"]]:
                result = crafted.scene.finish(crafted.scene.start(*words), timeout=60)
                where = f"{place} as {kind}, {' '.join(words)}: {result}"
                assert result.exit_code in DOCUMENTED, where
                victims.check(where)


def test_opening_a_history_goes_nowhere_else(crafted: Crafted, tmp_path: Path) -> None:
    """Every place, in this process: what each night does first, and what everybody reads."""
    drawn = random.Random(SEED)
    kinds = KINDS if LONG else ("link to a folder", "link to a file", "any")
    for place, one in itertools.product(crafted.places, kinds):
        kind = drawn.choice(KINDS) if one == "any" else one
        crafted.fresh()
        victims = Victims(tmp_path / place.relative_to(crafted.scene.store) / one)
        victims.plant(place, kind)
        try:
            history = HardlinkHistory(crafted.scene.home)
            history.recover()
            for snapshot in history.snapshots():
                assert list(Reader(history.manifest(snapshot)))
            with history.slot().preparing() as ready:
                ready()
            for snapshot in history.snapshots()[:1]:
                history.set_pinned(snapshot, True)
        except SnapmirrorError as error:
            assert error.exit_code in DOCUMENTED, f"{place} as {kind}"
        except OSError as error:  # (a night makes a sentence of it)
            assert error.filename is not None, f"{place} as {kind}"
        victims.check(f"{place} as {kind}")


FOLDERS = (
    "web", "web/.snapmirror", "web/by-date", "web/backup.1", "web/backup.2", "web/.snapmirror/slot",
    "web/.snapmirror/parked", "web/.snapmirror/staging", "web/.snapmirror/staging/tmp",
    "web/.snapmirror/staging/partial", "web/.snapmirror/manifests", "web/.snapmirror/sums",
    "web/.snapmirror/hints", "web/.snapmirror/changes",
    "web/.snapmirror/trash.2020-01-01T000000Z",
)  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_another_device_in_the_place_of_a_folder(crafted: Crafted, name: str) -> None:
    """It is refused by its name. (Whoever opens a history does so first.)"""
    crafted.fresh()
    place = crafted.scene.store / name
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    with ExitStack() as stack:
        stack.callback(lambda: subprocess.run(["umount", place], check=True))
        (place / "victim").write_text("not ours")
        with pytest.raises(SnapmirrorError, match=name + ".* lies on another device") as refused:
            HardlinkHistory(crafted.scene.home)
        assert refused.value.exit_code == 11
        assert [path.name for path in place.iterdir()] == ["victim"]
    if name == FOLDERS[0]:
        remove(crafted.scene.store)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "scene")
    made.image = {"file": str(made.folder / "store.img"), "size": "512M", "encryption": "none"}
    made.configure()
    initialise(load(made.config), workload=TINY)
    (made.source / "file").write_text("ours")
    try:
        yield made
        assert made.leftovers() == []
    finally:
        made.release()


def test_an_image_that_was_changed_outside(image: Scene, tmp_path: Path) -> None:
    image.night()
    victims = Victims(tmp_path / "victims")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for name in ("web/.snapmirror/staging", "web/.snapmirror/manifests", "web"):
        subprocess.run(["mount", "-o", "loop", image.image["file"], mounted], check=True)
        try:
            (mounted / name).rename(mounted / "away")
            (mounted / name).symlink_to(victims.tree)
        finally:
            subprocess.run(["umount", mounted], check=True)
        result = image.night(expect=(11,))
        assert f"{name}' is a symlink, not a folder; it was not touched" in result.stdout + result.stderr, str(result)
        victims.check(name)
        subprocess.run(["mount", "-o", "loop", image.image["file"], mounted], check=True)
        try:
            (mounted / name).unlink()
            (mounted / "away").rename(mounted / name)
        finally:
            subprocess.run(["umount", mounted], check=True)
    image.night()


def test_no_symlink_of_an_image_is_followed_while_it_is_written_to(image: Scene, tmp_path: Path) -> None:
    """By no program: what the checks at the opening cannot see, because it changes under the mounted file system."""
    victims = Victims(tmp_path / "victims")
    config = load(image.config)
    image.night()
    with open_store(config) as store:
        (store.path / "link").symlink_to(victims.tree)
        with pytest.raises(OSError, match="symbolic links"):
            (store.path / "link" / "one.zst").read_bytes()
        assert subprocess.run(["cp", store.path / "link/one.zst", tmp_path], check=False, stderr=-3).returncode == 1
    with image.browsing():
        dated = image.home / "by-date" / next(iter(image.published()))
        assert (dated / "file").read_text() == "ours"
    with opened(config) as histories:
        assert len(histories.snapshots()["web"]) == 1
    healed = image.command("verify", "--heal")  # (writes, but knows where the dated names lead)
    assert healed.exit_code == 0, str(healed)
