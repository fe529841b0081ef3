"""The benchmark at a small size, as a test: it must run, compare equal, count right and leave nothing. No timings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.tree import Server, Shape, build
from tests.support.fingerprint import compare, fingerprint

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = ["rsnapshot", "borg", "restic"]
SMALL = ["--files", "3000", "--dirs", "160", "--change", "0.02", "--keep", "2", "--filesystem"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices and mounts need root")


def _nightly(work: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.nightly", *SMALL, *arguments, "--work", str(work)]


def _measured(work: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run it to its end; what it wrote and what it printed."""
    out = work.with_suffix(".json")
    argv = _nightly(work, *arguments, "--json", str(out))
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout


def _assert_nothing_left(work: Path) -> None:
    assert str(work) not in Path("/proc/self/mountinfo").read_text()
    backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not [file for file in backing if file.startswith(str(work))]
    assert not list(work.glob("run-*"))


@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_every_way_ends_with_the_source(tmp_path: Path, filesystem: str) -> None:
    """Those that leave a tree behind are compared with the source, contents included. Peers, where installed, once."""
    ways = ["bare", "rotation", "link-dest", "snapmirror"]
    if filesystem == "xfs":
        ways += [way for way in PEERS if shutil.which(way)]
    walked = [way for way in ways if way not in ("borg", "restic")]
    work = tmp_path / "work"
    document, shown = _measured(work, filesystem, "--nights", "1", "--tools", ",".join(ways), "--check", "all")
    assert document["compared_equal"] == len(walked)
    for way in ways:
        samples = document["results"][way]
        assert len(samples) == 1
        assert all(sample["read"] > 0 and sample["written"] > 0 for sample in samples), (way, samples)
        assert all(0 < sample["seconds"] <= sample["synced"] <= sample["settled"] for sample in samples), (way, samples)
        assert way in shown
    _assert_nothing_left(work)


def test_slow_stores(tmp_path: Path) -> None:
    work = tmp_path / "work"
    document, shown = _measured(
        work, "xfs", "--nights", "1", "--tools", "bare,snapmirror", "--slow-iops", "1500", "--markdown"
    )
    assert document["compared_equal"] == 1
    assert "| snapmirror |" in shown
    _assert_nothing_left(work)


@pytest.mark.parametrize("moment", ["night 0", "night 2", "  bare"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, moment: str) -> None:
    work = tmp_path / "work"
    argv = _nightly(work, "xfs", "--tools", "bare,rotation")
    with subprocess.Popen(argv, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr
        for line in bench.stderr:
            if line.startswith(moment):
                break
        time.sleep(0.05)
        bench.send_signal(signal.SIGINT)
        said = bench.stderr.read()
        assert bench.wait() == 130, said
    assert "stopped by SIGINT" in said
    _assert_nothing_left(work)


def test_what_a_killed_benchmark_leaves_is_released_by_the_next(tmp_path: Path) -> None:
    work = tmp_path / "work"
    argv = _nightly(work, "xfs", "--tools", "bare", "--warmup", "1", "--nights", "50", "--slow-iops", "1500")
    with subprocess.Popen(argv, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr
        for line in bench.stderr:
            if line.startswith("night 2"):
                break
        bench.kill()
    assert list(work.glob("run-*"))
    _measured(work, "xfs", "--tools", "bare", "--warmup", "1", "--nights", "1")
    _assert_nothing_left(work)


def test_the_same_seed_makes_the_same_nights(tmp_path: Path) -> None:
    shape = Shape(files=600, dirs=40, seed=7)
    trees = [tmp_path / "one", tmp_path / "two"]
    for tree in trees:
        tree.mkdir()
        build(tree, shape)
        server = Server(tree, shape, changes=30, hot_dirs=3)
        assert sum(server.night(1).values()) == 30
        assert server.night(2)["modified"] == 18
    assert not compare(fingerprint(trees[0]), fingerprint(trees[1]))
