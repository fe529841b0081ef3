"""The slow line's benchmark at a small size, as a test: the line delays and counts, each way ends with the source."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.line import Direction, slow_line
from tests.support.sshd import sshd_running

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_direction_is_one_queue() -> None:
    line = Direction(1000.0)
    assert line.leaves(500, now=10.0) == 10.5
    assert line.leaves(500, now=10.1) == 11.0, "it waits for the piece before"
    assert line.leaves(1000, now=20.0) == 21.0
    assert line.sent == 2000


def test_bytes_arrive_whole_and_late_and_are_counted(tmp_path: Path) -> None:
    with sshd_running(tmp_path / "sshd") as sshd, slow_line(sshd.port, rate=4e6, round_trip=0.1) as line:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(sshd.known_hosts.read_text().replace(f":{sshd.port} ", f":{line.port} "))
        argv = ["ssh", "-F", "none", "-p", str(line.port), "-i", str(sshd.identity), "-o", "IdentitiesOnly=yes",
                "-o", f"UserKnownHostsFile={known_hosts}", sshd.login, "head --bytes=2000000 /dev/zero"]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(argv, capture_output=True, check=True)
        assert len(done.stdout) == 2_000_000
        assert line.down.sent > 2_000_000 > line.up.sent > 1000
        assert line.connections == 1
        assert time.monotonic() - began > 0.5 + 0.3, "2 MB and 3 round trips take longer"


def test_each_way_ends_with_the_source(tmp_path: Path) -> None:
    """The benchmark itself compares them, after every night."""
    out = tmp_path / "out.json"
    argv = [sys.executable, "-m", "tests.bench.slow_line", "--files", "300", "--big-mb", "9", "--nights", "1",
            "--mbit", "400", "--round-trip-ms", "2", "--work", str(tmp_path), "--json", str(out)]  # fmt: skip
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    costs = json.loads(out.read_text())
    assert list(costs) == ["first", "unchanged", "changed", "renamed"]
    for ways in costs.values():
        assert all(one["logins"] >= 1 and one["down"] > one["up"] for some in ways.values() for one in some)
    assert costs["first"]["rsync -a"][0]["down"] > 7_000_000 > costs["first"]["rsync -az"][0]["down"]
    [renamed], [unchanged] = costs["renamed"]["snapmirror"], costs["unchanged"]["snapmirror"]
    assert renamed["up"] + renamed["down"] - unchanged["up"] - unchanged["down"] < 80_000, "1 % of what was renamed"
    assert costs["renamed"]["rsync -a"][0]["down"] > 6_000_000
    assert not list(tmp_path.glob("run-*"))
