"""Files of ours beside others': never through a link, never somebody else's, and never waiting for a pipe."""

from __future__ import annotations

import os
import stat
import time
import tracemalloc
from pathlib import Path

import pytest

from snapmirror import files
from snapmirror.files import ForeignError
from tests.support.planted import KINDS, LINKS, Victims


@pytest.fixture
def victims(tmp_path: Path) -> Victims:
    return Victims(tmp_path / "victims")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_replaced_and_not_what_its_name_led_to(victims: Victims, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "ours" / "report.json"
    victims.plant(place, kind)
    if kind == "folder":
        with pytest.raises(OSError, match="directory"):
            files.replace(place, b"new", 0o644)
    else:
        files.replace(place, b"new", 0o644)
        status = place.lstat()
        assert (place.read_bytes(), status.st_nlink, stat.S_IMODE(status.st_mode)) == (b"new", 1, 0o644)
    if kind != "hard link":  # (it has a name less now)
        victims.check(kind)
    assert victims.file.read_bytes() != b"new"
    assert [path.name for path in place.parent.iterdir()] == ["report.json"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_changed_where_it_stands_is_ours_or_refused(victims: Victims, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "ours" / "copy.img"
    victims.plant(place, kind)
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT):
        with pytest.raises(ForeignError, match=r"copy\.img"):
            files.own(place, flags)
    with pytest.raises(FileExistsError):
        files.own(place, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    victims.check(kind)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hard link"])
def test_only_a_file_is_read(victims: Victims, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "ours" / "copy.img"
    victims.plant(place, kind)
    with pytest.raises(ForeignError, match="not a file"):
        files.read(place)


def test_our_own_file_is_made_opened_again_and_read(tmp_path: Path) -> None:
    place = tmp_path / "ours"
    for _ in range(2):
        descriptor = files.own(place, os.O_RDWR | os.O_CREAT)
        files.write_all(descriptor, memoryview(b"text"), 0)
        os.close(descriptor)
    assert files.read(place) == b"text"
    with pytest.raises(OSError, match="large"):
        files.read(place, 3)


def test_a_link_of_ours_leads_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "absolute").symlink_to(tmp_path / "real")
    (tmp_path / "relative").symlink_to("absolute/../real")
    (tmp_path / "round").symlink_to("round")
    for name in ("real", "absolute", "relative"):
        files.replace(tmp_path / name / "file", name.encode())
        assert (tmp_path / "real" / "file").read_text() == name
    with pytest.raises(OSError, match="symbolic links"):
        files.replace(tmp_path / "round" / "file", b"")
    with pytest.raises(OSError, match=str(tmp_path / "real")):
        files.replace(tmp_path / "real" / "file" / "inner", b"")


def test_what_a_killed_writer_has_left_goes_some_time_later(tmp_path: Path) -> None:
    place, mark = tmp_path / "report", "0123456789abcdef"
    left, young, other = (
        tmp_path / f".report.{mark}.new",
        tmp_path / f".report.{mark[::-1]}.new",
        tmp_path / ".report.x.new",
    )
    for path in (left, young, other):
        path.touch()
    hours_ago = time.time() - 7200
    os.utime(left, (hours_ago, hours_ago))
    files.replace(place, b"")
    assert (left.exists(), young.exists(), other.exists()) == (False, True, True)
    files.sweep(place)
    assert (young.exists(), other.exists()) == (False, True)


@pytest.mark.parametrize("kind", LINKS)
def test_a_file_in_the_making_is_none_of_the_victims(victims: Victims, tmp_path: Path, kind: str) -> None:
    """The writer fails in the middle: nothing is left, and what was there stays."""
    place = tmp_path / "ours" / "sums"
    victims.plant(place, kind)
    with pytest.raises(ZeroDivisionError), files.replacing(place) as descriptor:
        os.write(descriptor, b"half")
        raise ZeroDivisionError
    assert place.is_symlink()
    assert [path.name for path in place.parent.iterdir()] == ["sums"]
    victims.check(kind)


def test_reading_takes_room_for_what_is_there(tmp_path: Path) -> None:
    """Not for the most that may come: a small machine reads short lists with a large limit."""
    path = tmp_path / "file"
    path.write_bytes(b"short")
    tracemalloc.start()
    try:
        assert files.read(path, 1 << 40) == b"short"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
