"""History is true: random trees, random nights, random interruptions.

After each night every sealed snapshot is compared with the fingerprint it had when it was first seen, and the newest
one with the source. hypothesis draws the trees, the changes and the interruptions and shrinks what fails.

    SNAPMIRROR_TEST_EXAMPLES=50   histories to draw (quick form: 4); each is 3 x keep_last nights or more
    SNAPMIRROR_TEST_LONG=1        longer histories of larger trees, on the images as well
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import crash
from tests.support.fingerprint import Fingerprint, compare
from tests.support.nights import CHANGES, live_a_day, random_changes, random_kinds
from tests.support.runner import LONG, History, Result, Scene
from tests.support.trees import KINDS, Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
EXAMPLES = int(os.environ.get("SNAPMIRROR_TEST_EXAMPLES", "40" if LONG else "4"))
CALLS = crash.RENAMES + crash.FLUSHES + crash.NAMES + crash.STARTS + ("write", "openat")


@dataclass(frozen=True)
class Interruption:
    """A signal, at a system call of the main process or after a number of milliseconds."""

    signal: str
    call: str = ""
    number: int = 0
    milliseconds: int = 0


@dataclass(frozen=True)
class Night:
    """What happened on the server during the day, and how the night goes."""

    changes: list[tuple[str, int]] = field(default_factory=list)
    full: bool = False
    interruption: Interruption | None = None


SEEDS = st.integers(0, 2**16)
INTERRUPTIONS = st.one_of(
    st.builds(
        Interruption, signal=st.sampled_from(["SIGKILL", "SIGKILL", "SIGTERM"]), call=st.sampled_from(CALLS),
        number=st.integers(1, 60),
    ),
    st.builds(
        Interruption, signal=st.sampled_from(["SIGKILL", "SIGTERM", "SIGINT"]), milliseconds=st.integers(50, 1500)
    ),
)  # fmt: skip
NIGHTS = st.builds(
    Night,
    changes=st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), SEEDS), max_size=8),
    full=st.sampled_from([False, False, False, True]),
    interruption=st.one_of(st.none(), st.none(), INTERRUPTIONS),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[tuple[str, int]], list[Night]]:
    """(keep_last, what the tree starts with, the nights)."""
    keep_last = draw(st.integers(2, 4))
    kinds = draw(st.lists(st.tuples(st.sampled_from(KINDS), SEEDS), min_size=5, max_size=60 if LONG else 35))
    nights = draw(st.lists(NIGHTS, min_size=3 * keep_last, max_size=3 * keep_last + 4))
    return keep_last, kinds, nights


class Story:
    """Runs nights and holds every promise after each."""

    def __init__(self, scene: Scene, keep_last: int) -> None:
        self.scene, self.keep_last = scene, keep_last
        self.tree = Tree(scene.source)
        self.history = History(scene)
        self.ids: list[str] = []  # what is known to be published, newest first
        self.attempts: list[Fingerprint] = []  # sources of killed nights, which may have been published or not

    def night(self, night: Night) -> None:
        live_a_day(self.tree, night.changes)
        source = self.tree.fingerprint()
        words = ["--accept-changes", *(["--full"] if night.full else [])]  # a day may empty the source
        if night.interruption is None:
            result = self.scene.night(*words)
            self.after_success(result, source, full=night.full)
            return
        result = interrupted(self.scene, night.interruption, *words)
        if result.exit_code == 0:
            self.after_success(result, source, full=night.full)
        elif result.exit_code < 0 or result.exit_code == 137:  # killed, or before Python could take the signal over
            self.attempts.append(source)
            if not self.scene.image:
                self.history.check_wreck(source)
        else:
            # stopped, or one of its programs was; 20: not even undoing could run its programs
            assert result.exit_code in (130, 143, 11, 12, 20 if self.scene.image else 12), str(result)
            self.attempts.append(source)
            if result.exit_code == 20:
                return
            assert self.scene.leftovers() == []
            with self.scene.browsing():
                self.account(self.history.check(where=" by a night that was stopped"), expired=False)

    def after_success(self, result: Result, source: Fingerprint, *, full: bool) -> None:
        assert self.scene.leftovers() == []
        with self.scene.browsing():
            ids = self.history.check()
            assert ids[0] == result.mirror["snapshot"], f"{ids} against {result}"
            self.attempts.append(source)
            self.account(ids, expired=True)
            self.history.check_newest(source, full=full)
        self.ids, self.attempts = ids, []
        self.tree.published()

    def account(self, ids: list[str], *, expired: bool) -> None:
        """Nothing is lost, nothing came from nowhere, and (where the night got so far) what has expired is gone."""
        for snapshot in ids:
            if snapshot not in self.ids:
                sealed = self.history.sealed[snapshot]
                differences = [compare(source, sealed, ignore=("xattrs",)) for source in self.attempts]
                assert [] in differences, f"{snapshot} is no night's source:\n" + "\n".join(differences[-1])
        everything = sorted({*ids, *self.ids}, reverse=True)
        assert ids[: self.keep_last] == everything[: self.keep_last], f"{ids} left of {everything}"
        assert not expired or len(ids) <= self.keep_last, f"{ids}: more than {self.keep_last}"


def interrupted(scene: Scene, interruption: Interruption, *words: str) -> Result:
    """A night with an interruption; it may well end before that comes."""
    if interruption.call:
        return crash.killed_at(
            scene, crash.Point(interruption.call, interruption.number), "--json", *words, signal=interruption.signal
        )
    process = scene.start("run", "--json", *words)
    time.sleep(interruption.milliseconds / 1000)
    process.send_signal(getattr(signal, interruption.signal))
    return scene.finish(process)


@contextmanager
def story(folder: Path, keep_last: int, *, image: dict[str, Any] | None = None, **mirror: Any) -> Iterator[Story]:
    scene = Scene(folder, image=image or {})
    scene.configure(keep_last=keep_last, **mirror)
    if image:
        result = scene.command("init")
        assert result.exit_code == 0, str(result)
    try:
        yield Story(scene, keep_last)
    finally:
        scene.release()


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=not LONG, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if LONG else [])],
)  # fmt: skip
@given(histories())
def test_history_is_true(scenario: tuple[int, list[tuple[str, int]], list[Night]]) -> None:
    keep_last, kinds, nights = scenario
    with tempfile.TemporaryDirectory(prefix="history.") as folder, story(Path(folder), keep_last) as told:
        told.tree.grow(kinds)
        for night in [Night(), *nights, Night(full=True)]:
            told.night(night)


@pytest.mark.parametrize("seed", range(8 if LONG else 2))
def test_history_of_a_larger_tree(tmp_path: Path, seed: int) -> None:
    """A tree of a few hundred entries over many nights, each with many changes; no interruptions."""
    rng = random.Random(f"larger {seed}")
    with story(tmp_path, keep_last=2 + seed % 3) as told:
        told.tree.grow(random_kinds(rng, 300 if LONG else 120))
        told.night(Night())
        for number in range(3 * told.keep_last + 2):
            changes = [] if number == 3 else random_changes(rng, rng.choice((1, 5, 40)))
            told.night(Night(changes, full=number % 5 == 4))
        told.night(Night(full=True))


@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_history_in_an_image(tmp_path: Path, filesystem: str) -> None:
    """The same inside an image: reflink clones on XFS (a low clone_above sends many files through them)."""
    rng = random.Random(f"image {filesystem}")
    image = {"file": str(tmp_path / "disk.img"), "size": "600M", "filesystem": filesystem, "encryption": "none"}
    with story(tmp_path / "scene", 2, image=image, clone_above="100K") as told:
        told.tree.grow(random_kinds(rng, 60))
        told.tree.grow([("large", 1), ("large", 2), ("sparse", 3)])
        told.night(Night())
        for number in range(12 if LONG else 6):
            interruption = None
            if number % 3 == 1:
                interruption = Interruption(rng.choice(("SIGKILL", "SIGTERM")), rng.choice(CALLS), rng.randrange(1, 15))
            changes = random_changes(rng, 10) + [(name, rng.getrandbits(16)) for name in ("same_size_new_bytes",) * 3]
            told.night(Night(changes, interruption=interruption))
        told.night(Night(full=True))
