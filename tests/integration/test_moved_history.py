"""Random histories of names that move: files are renamed, rotated, exchanged, copied and rewritten, and big enough
to be compared. Whatever is linked, each snapshot equals its source, and no sealed one changes. Kills at every kind of
call.

Files have few sizes and times, so that many look alike without being the same.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.support import crash
from tests.support.fingerprint import fingerprint
from tests.support.runner import LONG, History, Result, Scene

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other owners need root")
EXAMPLES = int(os.environ.get("SNAPMIRROR_TEST_EXAMPLES", "60" if LONG else "6"))
NAMES = ("a", "b", "log", "log.1", "log.2", "d/a", "d/b", "d/log", "e/a", "e/f/b")
SIZES = (400, 1_100_000, 2_200_000)
TIMES = (1_500_000_000, 1_500_000_001)

_name = st.sampled_from(NAMES)
CHANGE = st.one_of(
    st.tuples(st.just("write"), _name, st.tuples(st.sampled_from(SIZES), st.sampled_from(TIMES), st.integers(0, 3))),
    st.tuples(st.just("rename"), _name, _name),
    st.tuples(st.just("copy"), _name, _name),
    st.tuples(st.just("link"), _name, _name),
    st.tuples(st.just("exchange"), _name, _name),
    st.tuples(st.just("rotate"), _name, st.none()),
    st.tuples(st.just("folder"), st.sampled_from(("d", "e", "e/f")), st.sampled_from(("d", "e", "x", "d/y"))),
    st.tuples(st.just("mode"), _name, st.sampled_from((0o600, 0o644))),
    st.tuples(st.just("remove"), _name, st.none()),
)


def change(source: Path, what: str, name: str, more: object) -> None:
    """Make one change, if it can be made."""
    file = source / name
    if what == "write":
        assert isinstance(more, tuple)
        size, seconds, content = more
        if file.is_dir() or any(above.is_file() for above in file.parents):
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(bytes([65 + content]) * size)
        os.utime(file, ns=(seconds * 10**9,) * 2)
        return
    if not file.exists() or (what != "folder" and file.is_dir()):
        return
    if what == "remove":
        file.unlink()
    elif what == "mode":
        assert isinstance(more, int)
        file.chmod(more)
    elif what == "rotate":
        last = file.with_name(file.name + ".2")
        if not last.is_dir() and not file.with_name(file.name + ".1").is_dir():
            if (second := file.with_name(file.name + ".1")).exists():
                second.rename(last)
            file.rename(second)
            file.write_bytes(b"L" * SIZES[1])
            os.utime(file, ns=(TIMES[0] * 10**9,) * 2)
    else:
        assert isinstance(more, str)
        other = source / more
        if other == file or any(above.is_file() for above in other.parents):
            return
        if what == "folder":
            if file.is_dir() and not other.exists() and file not in other.parents:
                other.parent.mkdir(parents=True, exist_ok=True)
                file.rename(other)
            return
        if other.is_dir():
            return
        other.parent.mkdir(parents=True, exist_ok=True)
        if what == "exchange":
            if other.exists():
                aside = source / "aside"
                file.rename(aside)
                other.rename(file)
                aside.rename(other)
            return
        if other.exists() and other.samefile(file):
            return
        other.unlink(missing_ok=True)
        if what == "rename":
            file.rename(other)
        elif what == "copy":
            shutil.copy2(file, other)
            if not (second := other.with_name(f"{other.name}.copy")).is_dir():
                shutil.copy2(file, second)
        else:
            other.hardlink_to(file)


BUSY: list[list[tuple[str, str, object]]] = [
    [("copy", "log.1", "e/a"), ("rotate", "log", None), ("exchange", "a", "b")],
    [("folder", "d", "x"), ("copy", "e/a", "b"), ("link", "a", "d/a"), ("rename", "log.1", "d/log")],
    [("folder", "d", "d/y"), ("remove", "e/a", None), ("copy", "b", "log"), ("mode", "b", 0o600)],
    [("folder", "e", "d/y"), ("rename", "b", "a"), ("rotate", "log", None), ("link", "log.1", "log.2")],
]
_spare = itertools.count(1_400_000_000)


def settle(source: Path, seen: dict[Path, tuple[int, int, bytes]]) -> None:
    """Step around the limits of rsync's quick check: the same name, size and time with another content, and folders
    that change again within their second. `seen` is what the names were the day before.
    """
    now = dict[Path, tuple[int, int, bytes]]()
    for path in sorted(source.rglob("*")):
        if path.is_file():
            before, status, content = seen.get(path), path.stat(), path.read_bytes()[:1]
            if before is not None and before[:2] == (status.st_size, status.st_mtime_ns) and before[2] != content:
                os.utime(path, ns=(next(_spare) * 10**9,) * 2)
    for path in source.rglob("*"):
        if path.is_file():
            now[path] = path.stat().st_size, path.stat().st_mtime_ns, path.read_bytes()[:1]
    seen.clear()
    seen.update(now)
    for folder in (source, *(one for one in source.rglob("*") if one.is_dir())):
        os.utime(folder, ns=(next(_spare) * 10**9,) * 2)


def test_history_is_true() -> None:
    moved, copied = list[int](), list[int]()

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=not LONG, print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if LONG else [])],
    )  # fmt: skip
    @example(BUSY)
    @given(st.lists(st.lists(CHANGE, min_size=2, max_size=12), min_size=4, max_size=7))
    def nights_are_true(nights: list[list[tuple[str, str, object]]]) -> None:
        with tempfile.TemporaryDirectory(prefix="moved.") as folder:
            for result in lived(Scene(Path(folder)), nights):
                moved.append(result.mirror["moved_names"])
                copied.append(result.mirror["copied_names"])

    nights_are_true()
    assert sum(moved) > EXAMPLES
    assert sum(copied) >= 4


def lived(scene: Scene, nights: list[list[tuple[str, str, object]]]) -> Iterator[Result]:
    """Live through these nights: how each ends."""
    for number, name in enumerate(NAMES):
        change(scene.source, "write", name, (SIZES[number % 3], TIMES[number % 2], number % 4))
    history, seen = History(scene), dict[Path, tuple[int, int, bytes]]()
    for day in [[], *nights]:
        for one in day:
            change(scene.source, *one)
        settle(scene.source, seen)
        source = fingerprint(scene.source)
        result = scene.night("--accept-changes", "--full")
        history.check()
        history.check_newest(source, full=True)
        yield result
    result = scene.command("verify", "--full")
    assert result.exit_code == 0, str(result)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.release()


KINDS = {
    "rename": crash.RENAMES, "flush": crash.FLUSHES, "name": crash.NAMES, "write": crash.WRITES,
    "start": crash.STARTS, "attribute": crash.ATTRIBUTES,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_names_move(scene: Scene, kind: str) -> None:
    """Before each kill a folder of big and small files is renamed, and a log rotated."""
    scene.configure(keep_last=3)
    folder, history = scene.source / "folder", History(scene)
    for number in range(6):
        change(scene.source, "write", f"folder/{number}", (SIZES[number % 3], TIMES[0] + number, number % 4))
    day, seen = 0, dict[Path, tuple[int, int, bytes]]()

    def live() -> None:
        nonlocal day, folder
        day += 1
        folder = folder.rename(scene.source / f"folder{day}")
        change(scene.source, "rotate", "log", None)
        change(scene.source, "write", "log", (SIZES[1], TIMES[0] + day, day % 4))
        settle(scene.source, seen)

    def night() -> int:
        result = scene.night("--accept-changes")
        history.check()
        history.check_newest(fingerprint(scene.source))
        return int(result.mirror["moved_names"])

    night()
    live()
    assert night() >= 6
    live()
    points, result = crash.points(scene, KINDS[kind], "--json", "--accept-changes")
    assert result.exit_code == 0, str(result)
    history.check()
    killed = recovered = 0
    for point in crash.spread(points, 1_000_000 if LONG else 8):
        live()
        result = crash.killed_at(scene, point, "--json", "--accept-changes")
        killed += result.exit_code != 0
        history.check_wreck(fingerprint(scene.source))
        recovered += night() >= 6
    assert killed
    assert recovered
    result = scene.command("verify", "--full")
    assert result.exit_code == 0, str(result)
