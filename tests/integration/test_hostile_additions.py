"""A server that answers each request of a night honestly, and adds names that nobody asked for.

The sender is ours, and so is the list of attacks (`hostile`). After each attacked night every sealed snapshot is what
it was, nothing outside the slot has changed, and what was published is what was listed; or the night ended with 12, has
published nothing, and names what came. An honest night afterwards is right, and `verify --full` is content. (ZFS, and a
store in an image: tests/contract/test_hostile_sender.py.)

SNAPMIRROR_TEST_LONG=1    every attack on every kind of night, instead of a few of each subject
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Figures
from tests.support import hostile
from tests.support.hostile import CHECK, FEW, NAMES, PATCH, ROOT, TRANSFERS, WHOLE, Choose
from tests.support.runner import LONG, Scene
from tests.support.siege import Siege, as_daemon, as_old_daemon, over_ssh, xfs_mounted
from tests.support.sshd import sshd_running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other owners and devices need root")
SUBJECTS: dict[str, Choose] = (
    {subject: hostile.about(subject) for subject in FEW} if LONG else {"a few of each": hostile.a_few}
)


def some(every: int, first: int = 0) -> list[str]:
    """Some of the few, by what they are; all of these in the long form."""
    return list(hostile.a_few(1, Path())) if LONG else list(hostile.a_few(1, Path()))[first::every]


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "scene")
    yield scene
    scene.release()


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Scene]:
    """A store that is a folder on XFS, with reflinks."""
    with xfs_mounted(tmp_path) as mounted:
        scene = Scene(mounted / "scene")
        yield scene
        scene.release()


def told(siege: Siege, where: str, figures: Figures) -> None:
    ended = sorted(siege.exit_codes.values())
    counts = ", ".join(f"{ended.count(code)} ended with {code}" for code in dict.fromkeys(ended))
    figures.add(f"hostile senders, {where}: {len(ended)} attacks, {counts}, 0 lost")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_added_to_files_in_batches(plain: Scene, subject: str, figures: Figures) -> None:
    siege = Siege(plain)
    siege.honest()
    siege.siege(SUBJECTS[subject], on=(NAMES,))
    assert siege.seen == {NAMES}
    told(siege, f"batches, {subject}", figures)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_added_to_a_big_file_that_is_patched(xfs: Scene, subject: str, figures: Figures) -> None:
    siege = Siege(xfs)
    siege.honest()
    siege.siege(SUBJECTS[subject], on=(PATCH,))
    assert siege.seen == {PATCH}
    told(siege, f"patched in place, {subject}", figures)


def test_added_to_the_root(plain: Scene, figures: Figures) -> None:
    siege = Siege(plain)
    siege.honest()
    siege.siege(hostile.a_few, only=some(5), on=(ROOT,))
    assert siege.seen == {ROOT}
    told(siege, "the root", figures)


@pytest.mark.parametrize("protocol", [29, 31])
@pytest.mark.parametrize("choose", [hostile.a_few, hostile.of_the_whole])
def test_added_in_the_first_night(tmp_path: Path, choose: Choose, protocol: int, figures: Figures) -> None:
    """Everything is asked for at once, so that a name that was not listed does not end the night, but does not stay."""
    siege, ended = None, dict[str, int]()
    serve = as_daemon if protocol > 29 else as_old_daemon
    for number, what in enumerate(some(3) if choose is hostile.a_few else choose(1, tmp_path)):
        scene = Scene(tmp_path / f"scene{number}")
        siege = Siege(scene, serve, exclude=["not-this"])
        siege.siege(choose, only=[what], on=(WHOLE,))
        assert siege.seen == {WHOLE}
        scene.release()
        ended |= siege.exit_codes
    assert siege
    siege.exit_codes = ended
    told(siege, f"the first night, {choose.__name__}, protocol {protocol}", figures)


@pytest.mark.parametrize("on", [(CHECK,), TRANSFERS])
def test_added_in_full_nights(plain: Scene, on: tuple[str, ...], figures: Figures) -> None:
    """To the comparison with the snapshot's tree, or to what is asked for then."""
    siege = Siege(plain)
    siege.honest("--full")
    siege.siege(hostile.a_few, "--full", only=some(6, 1), on=on)
    assert siege.seen & set(on)
    told(siege, f"full nights, {on[0]}", figures)


def test_added_before_the_connection_breaks(plain: Scene, figures: Figures) -> None:
    """What an interrupted night has brought is gone on with: nothing of what came unasked is."""
    siege = Siege(plain)
    siege.honest()
    for number, what in enumerate(some(3)):
        attack = hostile.a_few(siege.version + 1, siege.victim)[what]
        siege.attacked(what, attack, on=(NAMES,), breaks_off=2 + number % 4)
        if number % 4 == 3:
            siege.honest()
    siege.end()
    told(siege, "interrupted", figures)


def test_added_where_slots_are_recycled(plain: Scene, figures: Figures) -> None:
    siege = Siege(plain, keep_last=2)
    for _ in range(3):
        siege.honest()
    for what in some(7, 2):
        siege.siege(hostile.a_few, only=[what], on=(NAMES,))
    told(siege, "recycled slots", figures)


@pytest.mark.parametrize("forced", [False, True])
def test_added_over_ssh(plain: Scene, forced: bool, figures: Figures) -> None:
    with sshd_running(plain.folder / "sshd") as server:
        siege = Siege(plain, over_ssh(server, forced=forced))
        siege.honest()
        siege.siege(hostile.a_few, only=some(8, 3 + forced))
        assert NAMES in siege.seen
    told(siege, f"ssh{', forced command' if forced else ''}", figures)


def test_added_in_the_old_protocol(plain: Scene, figures: Figures) -> None:
    siege = Siege(plain, as_old_daemon)
    siege.honest()
    siege.siege(hostile.a_few, only=some(8, 5), on=(NAMES,))
    told(siege, "protocol 29", figures)


@pytest.mark.parametrize("by_night", [False, True])
def test_added_while_healing(plain: Scene, by_night: bool, figures: Figures) -> None:
    siege = Siege(plain)
    siege.honest()
    siege.honest()
    for what in some(10 if by_night else 5, 1):
        siege.healed(what, hostile.a_few(siege.version, siege.victim)[what], "d/b", by_night=by_night)
    siege.end()
    assert siege.seen
    told(siege, "healing", figures)
