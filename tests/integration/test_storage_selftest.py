"""The storage self-test: passes on good storage, leaves nothing, and finds what bad storage does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from snapmirror.errors import StorageError
from snapmirror.storage.open_store import OpenStore, mount_for_browsing, open_store
from snapmirror.storage.selftest import FOLDER, Workload, prove, selftest
from tests.support.storage import TINY, Scene, Templates, put_first_on_path, released


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture
def scene(templates: Templates, tmp_path: Path) -> Iterator[Scene]:
    with released(templates.copy(tmp_path / "scene", "none", "xfs")) as made:
        yield made


def test_it_passes_and_leaves_nothing(scene: Scene) -> None:
    with open_store(scene.config) as store:
        (store.path / "file").write_text("kept")
    report = selftest(scene.config, TINY)
    assert report.remounted
    assert report.files > 240
    assert "all as written" in str(report)
    with open_store(scene.config) as store:
        assert [path.name for path in store.path.iterdir()] == ["file"]


def test_it_takes_the_place_of_a_forgotten_browsing_mount(scene: Scene) -> None:
    mount_for_browsing(scene.config)
    selftest(scene.config, TINY)


def test_what_a_killed_self_test_left_is_removed(scene: Scene) -> None:
    with open_store(scene.config) as store:
        (store.path / FOLDER / "round.0").mkdir(parents=True)
        (store.path / FOLDER / "round.0" / "old").touch()
    selftest(scene.config, TINY)
    with open_store(scene.config) as store:
        assert list(store.path.iterdir()) == []


def test_bits_that_change_in_the_image_are_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that first spoils every eighth block with data in the image, at the second mounting: bit rot."""
    script = f"""
    count={scene.folder}/count; echo >> $count
    if [ "$(wc -l < $count)" = 2 ]; then python3 - <<'END'
import os
image = os.open({str(scene.image)!r}, os.O_RDWR)
end = os.fstat(image).st_size
place = 32 << 20  # behind the superblock and the inodes
for number in range((end - place) // 32768):
    at = place + number * 32768
    if os.pread(image, 4096, at).strip(b"\\0"):
        os.pwrite(image, b"rot" * 5, at + 100)
END
    fi
    exec /bin/mount "$@"
    """
    with monkeypatch.context() as patch:
        put_first_on_path(scene.folder / "bin", "mount", script, patch.setenv)
        with pytest.raises(StorageError, match=r"self-test failed|is damaged|failed at|cannot be mounted") as caught:
            selftest(scene.config, replace(TINY, big_files=4, big_bytes=16 << 20))
    assert caught.value.hint
    assert scene.standing() == []


class Rot:
    """A folder as a store; between its first and its second opening `spoil` happens."""

    def __init__(self, path: Path, spoil: Callable[[Path], object]) -> None:
        self._path, self._spoil, self._openings = path, spoil, 0

    @contextmanager
    def opened(self) -> Iterator[OpenStore]:
        self._openings += 1
        if self._openings == 2:
            self._spoil(self._path / FOLDER)
        yield OpenStore(self._path)


def flip(file: Path, at: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        [byte] = opened.read(1)
        opened.seek(at)
        opened.write(bytes([byte ^ 1]))


def largest(folder: Path) -> Path:
    return max(folder.glob("round.0/*/*"), key=lambda path: path.stat().st_size)


def shared(folder: Path) -> Path:
    return next(path for path in folder.glob("round.1/*/*") if path.stat().st_nlink == 2)


def break_link(folder: Path) -> None:
    path = shared(folder)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def swap_inode(folder: Path) -> None:
    """Two names with equal content that should not be one inode, become one."""
    path = next(path for path in folder.glob("round.1/*/*") if path.stat().st_nlink == 1)
    shutil.copyfile(path, folder / "copy")
    os.link(path, folder / "extra")
    (folder / "extra").rename(folder / "copy")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: flip(folder / "big.0", 500_000),
        lambda folder: flip(largest(folder), 100),
        lambda folder: os.truncate(folder / "big.0", 1000),
        lambda folder: os.truncate(folder / "big.0", (1 << 20) + 1),
        lambda folder: shared(folder).unlink(),
        lambda folder: (folder / "round.0" / "0" / "unknown").touch(),
        lambda folder: shared(folder).rename(folder / "elsewhere"),
        lambda folder: shutil.rmtree(folder / "round.1" / "0"),
        shutil.rmtree,
        break_link,
        swap_inode,
    ],
)
def test_the_smallest_difference_fails(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    with pytest.raises(StorageError, match=r"self-test failed: .* came back different") as caught:
        prove(Rot(tmp_path, spoil).opened, TINY)
    assert "before you trust it" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_no_difference_passes(tmp_path: Path) -> None:
    report = prove(Rot(tmp_path, os.utime).opened, TINY)
    assert not report.remounted
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_writing_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FOLDER).touch()  # a file, where the self-test wants a folder
    with pytest.raises(StorageError, match=r"self-test failed at .*: File exists"):
        prove(Rot(tmp_path, lambda _: None).opened, TINY)


def test_a_small_store_gets_a_smaller_test() -> None:
    load = Workload()
    assert load.fitting(1 << 40, None) == load
    small = load.fitting(40 << 20, 10_000)
    assert small.small_files < load.small_files
    assert small.needed_bytes <= 20 << 20
    assert small.needed_inodes <= 5_000
    with pytest.raises(StorageError, match="too little room"):
        load.fitting(100_000, None)
