"""Senders drawn at random: which requests they attack, what they send on top, instead or not at all, what they say.

A history of two nights is made once; each example copies it, lets the drawn nights come, and ends with an honest one.
The invariants are those of `siege`: history, the world outside, what is published, and the record of it.

    SNAPMIRROR_TEST_EXAMPLES=500   senders to draw (quick form: 5)
    SNAPMIRROR_TEST_LONG=1         more of them, and longer histories
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import hostile
from tests.support.evil_daemon import FILE, FOLDER, SYMLINK, TIME, Entry
from tests.support.hostile import BLOCK, CHARACTER, CHECK, FIFO, NAMES, PATCH, ROOT, SOCKET, Attack
from tests.support.runner import LONG, Scene
from tests.support.siege import Siege, xfs_mounted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other owners and devices need root")
EXAMPLES = int(os.environ.get("SNAPMIRROR_TEST_EXAMPLES", "60" if LONG else "5"))
LISTED = sorted(hostile.tree(1).keys() - {b"."})
STRANGE = (
    b"d/evil", b"evil", b"d/deep/evil", b"e/evil", b"d/evil/evil", b"../evil", b"d/../../evil", b"../../backup.1/d/b",
    b"d/./evil", b"d//b", b"./d/b", b"d/b/", b"d/b/evil", b"d/c/evil", b"/evil", b"", b".", b"..", b"d/evil\n", b"d/ b",
)  # fmt: skip
MODES = (FILE, FOLDER, SYMLINK, FIFO, SOCKET, CHARACTER, BLOCK)
CONTENTS = (b"", b"sealed", b"eviled", b"evil content", b"0000002", b"x" * hostile.BIG)


@dataclass(frozen=True)
class Night:
    """One attacked night. `entries` may leave fields as they are listed (None)."""

    entries: tuple[tuple[bytes, int | None, int, bytes | None, int | None, int, int], ...]
    instead: bool
    left_out: frozenset[bytes]
    on: frozenset[str]
    breaks_off: int | None
    full: bool

    def attack(self, version: int, victim: Path) -> Attack:
        """What is sent on a night that brings this version. Targets of symlinks are the victim, or history."""
        tree = hostile.tree(version)
        targets = (os.fsencode(victim), b"../../backup.1", b"b")
        sent = []
        for name, kind, permissions, content, seconds, group, owner in self.entries:
            entry = tree.get(name, Entry(FILE, b"evil content", mtime=TIME + version))
            mode = entry.mode if kind is None else kind
            if permissions:
                mode = mode & ~0o7777 | permissions
            entry = replace(
                entry, mode=mode, uid=owner, target=entry.target if kind is None else targets[group % 3],
                content=entry.content if content is None else content, device=(1, 3),
                mtime=entry.mtime if seconds is None else TIME + seconds, group=group or entry.group,
            )  # fmt: skip
            sent.append((name, entry))
        return Attack(tuple(sent), self.instead, self.left_out)


@st.composite
def entries(draw: st.DrawFn) -> tuple[bytes, int | None, int, bytes | None, int | None, int, int]:
    """(name, kind, permissions, content, seconds, group, owner)."""
    name = draw(st.one_of(st.sampled_from(LISTED), st.sampled_from(STRANGE)))
    kind = draw(st.one_of(st.none(), st.sampled_from(MODES)))
    permissions = draw(st.sampled_from((0, 0, 0o4777, 0o777, 0o000, 0o644)))
    content = draw(st.one_of(st.none(), st.sampled_from(CONTENTS)))
    seconds = draw(st.one_of(st.none(), st.sampled_from((0, 1, 99))))
    return name, kind, permissions, content, seconds, draw(st.integers(0, 3)), draw(st.sampled_from((0, 0, 4321)))


NIGHTS = st.builds(
    Night,
    entries=st.lists(entries(), min_size=1, max_size=5).map(tuple),
    instead=st.booleans(),
    left_out=st.frozensets(st.sampled_from(LISTED), max_size=2),
    on=st.sampled_from(
        [frozenset(on) for on in ((NAMES,), (PATCH,), (ROOT,), (NAMES, PATCH), (NAMES, PATCH, ROOT, CHECK))]
    ),
    breaks_off=st.one_of(st.none(), st.none(), st.integers(0, 6)),
    full=st.sampled_from((False, False, True)),
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """Two nights that are past, on XFS: a big file is patched in place."""
    with xfs_mounted(tmp_path_factory.mktemp("sealed")) as mounted:
        scene = Scene(mounted / "scene")
        siege = Siege(scene, keep_last=2)
        siege.honest()
        siege.honest()
        yield siege
        scene.release()


@settings(
    max_examples=EXAMPLES, derandomize=not LONG, phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None,
)  # fmt: skip
@given(nights=st.lists(NIGHTS, min_size=1, max_size=4 if LONG else 2))
def test_hostile_property(sealed: Siege, nights: list[Night]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="hostile-", dir=sealed.scene.folder.parent))
    try:
        subprocess.run(["cp", "--archive", f"{sealed.scene.folder}/.", folder / "scene"], check=True)
        scene = Scene(folder / "scene")
        siege = Siege(scene, after=sealed)
        for number, night in enumerate(nights):
            attack = night.attack(siege.version + 1, siege.victim)
            words = ["--full"] if night.full else []
            siege.attacked(f"night {number}", attack, *words, on=night.on, breaks_off=night.breaks_off)
        siege.end()
        scene.release()
    finally:
        shutil.rmtree(folder)
