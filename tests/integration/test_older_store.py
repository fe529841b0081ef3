"""A store that was put back to an older state, or to the empty one: by whoever holds the share, or by accident."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from tests.support.runner import Result, Scene
from tests.support.storage import TINY, copy_image


class Store:
    """A scene whose store can be kept and put back, as a copy on a disk would be."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.count = 0
        for number in range(3):
            (scene.source / f"file{number}").write_text(f"{number}\n")

    def keep(self, name: str) -> Callable[[], None]:
        """What the store is now; call the result to have it back."""
        kept = self.scene.folder / name
        if self.scene.image:
            image = Path(self.scene.image["file"])
            copy_image(image, kept)
            return lambda: copy_image(kept, image)
        shutil.copytree(self.scene.store, kept, symlinks=True)

        def put_back() -> None:
            shutil.rmtree(self.scene.store)
            shutil.copytree(kept, self.scene.store, symlinks=True)

        return put_back

    def night(self, *words: str, expect: int = 0) -> Result:
        self.count += 1
        (self.scene.source / "changing").write_text(f"night {self.count}\n")
        return self.scene.night(*words, expect=(expect,))

    def ids(self) -> list[str]:
        listed = self.scene.command("list", "--json")
        assert listed.exit_code == 0, str(listed)
        return [one["id"] for one in listed.json]


@pytest.fixture(params=["folder", "image"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    image = {"file": str(tmp_path / "store.img"), "size": "512M", "encryption": "none"}
    scene = Scene(tmp_path / "scene", image=image if request.param == "image" else {})
    if scene.image:
        initialise(load(scene.config), workload=TINY)
    try:
        yield Store(scene)
        assert scene.leftovers() == []
    finally:
        scene.release()


def test_an_older_or_empty_store_is_refused_until_that_is_accepted(store: Store) -> None:
    scene = store.scene
    empty = store.keep("empty")
    store.night()
    older = store.keep("older")
    first = store.ids()[0]
    store.night()
    second = store.ids()[0]
    newer = store.keep("newer")

    for put_back, there in ((older, first), (empty, None)):
        put_back()
        for _ in range(2):  # a night that is refused does not learn from what it has refused
            refused = store.night(expect=13)
            assert second in refused.mirror["error"]
            assert there is None or there in refused.mirror["error"]
            assert "--accept-changes" in refused.mirror["hint"]
        assert scene.command("status").exit_code == 3
        assert second in scene.command("status").stdout
        if not scene.image:
            doctor = scene.command("doctor")
            assert (doctor.exit_code, second in doctor.stdout) == (13, True), str(doctor)
        assert store.ids() == ([first] if there else []), "nothing was changed"
        listed = scene.command("list")
        assert listed.exit_code == 0, "whoever reads it may want just that"
        assert f"warning: {refused.mirror['error']}" in listed.stderr
    older()
    for words in (("verify",), ("find", "file1"), ("plan",)):
        done = scene.command(*words)
        assert (done.exit_code, second in done.stderr) == (0, True), str(done)
    with scene.browsing():
        pass

    newer()
    assert store.night().mirror["result"] == "published", "the right one is taken at once"
    older()
    scene.source.rename(scene.folder / "away")
    scene.night("--accept-changes", expect=(12,))
    (scene.folder / "away").rename(scene.source)
    store.night(expect=13)  # a night that failed has not accepted it for the next
    accepted = store.night("--accept-changes").mirror["snapshot"]
    assert store.ids() == [accepted, first]
    newer()  # as many snapshots, but not the same
    assert "it is another store" in store.night(expect=13).mirror["error"]
    assert store.ids() == [second, first]


def test_without_a_memory_or_with_an_older_one_it_goes_on(store: Store) -> None:
    scene = store.scene
    store.night()
    [memory] = scene.state.glob("*.newest.json")
    older = memory.read_bytes()
    store.night()
    memory.write_bytes(older)  # the machine lost its power between publishing and writing it down
    store.night()
    for rubbish in (b"", b"{", b"[]", b'{"mirrors": {"web": {"sequence": "x", "id": 1}}}'):
        memory.write_bytes(rubbish)
        assert "cannot be read" in store.night(expect=3).json["warnings"][0]
    memory.unlink()
    store.night()
    assert memory.exists()
    scene.command("status")
    assert not scene.command("list").stderr.count("warning")


def test_a_full_state_folder_is_a_warning(store: Store) -> None:
    store.night()
    [memory] = store.scene.state.glob("*.newest.json")
    memory.unlink()
    memory.mkdir()
    night = store.night(expect=3)
    assert night.mirror["result"] == "published"
    assert any("cannot be recorded" in warning for warning in night.mirror["warnings"])
