"""What nights over a slow line cost: the same nights by plain rsync and by snapmirror, in turn.

    python -m tests.bench.slow_line                                   # 20 Mbit/s, 150 ms; about a quarter of an hour
    python -m tests.bench.slow_line --files 5000 --big-mb 16 --nights 2       # a quick look

Programs: rsync, ssh and sshd (a private one on loopback, see tests/support/sshd.py), python -m snapmirror. The line is
a relay, see line.py.

The server's tree is tree.py's, with files of 8 MB besides: one in three compresses as logs do, the others not at all.
Nights: the first one; one with nothing changed; --nights with --change of the files touched; one in which the folder of
the big files was renamed. What is measured: the wall clock from start to exit, bytes up (to the server) and down, and
logins, counted by the relay; ssh's own bytes are among them. Each way writes to plain folders below --work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.images import BenchError
from tests.bench.line import Line, slow_line
from tests.bench.tree import Server, Shape, Text, build
from tests.support.sshd import Sshd, sshd_running

REPOSITORY = Path(__file__).resolve().parents[2]
_BIG = 8 << 20


@dataclass(frozen=True)
class Cost:
    """Of one night: seconds, bytes to and from the server, logins."""

    seconds: float
    up: int
    down: int
    logins: int


class Ways:
    """The command of a night, by way. `line` leads to `sshd`, which serves `tree`."""

    def __init__(self, sshd: Sshd, line: Line, tree: Path, folder: Path) -> None:
        self._tree, self._folder = tree, folder
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(sshd.known_hosts.read_text().replace(f":{sshd.port} ", f":{line.port} "))
        self._login = sshd.login
        self._ssh = (
            f"ssh -p {line.port} -i {sshd.identity} -o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes "
            "-o IdentitiesOnly=yes -F none"
        )
        (folder / "store").mkdir()
        self._config = folder / "snapmirror.toml"
        self._config.write_text(
            f"""
            [store]
            path = "{folder}/store"
            state_dir = "{folder}/state"
            [[mirror]]
            name = "bench"
            source = "{sshd.login}:{tree}"
            port = {line.port}
            identity = "{sshd.identity}"
            known_hosts = "{known_hosts}"
            [mirror.retention]
            keep_last = 4
            [mirror.verify]
            read_all_within_days = 0
            """
        )

    def _rsync(self, name: str, flags: str) -> list[str]:
        target = self._folder / name
        return ["rsync", flags, "--delete", "-e", self._ssh, f"{self._login}:{self._tree}/", f"{target}/"]

    def commands(self) -> dict[str, list[str]]:
        """By name."""
        snapmirror = [sys.executable, "-m", "snapmirror", "--config", str(self._config), "--quiet", "run"]
        return {
            "rsync -a": self._rsync("bare", "-a"),
            "rsync -az": self._rsync("bare-z", "-az"),
            "snapmirror": [*snapmirror, "--accept-changes"],
        }

    def copies(self) -> dict[str, Path]:
        """The tree that each way ends with."""
        newest = self._folder / "store/bench/backup.1"
        return {"rsync -a": self._folder / "bare", "rsync -az": self._folder / "bare-z", "snapmirror": newest}


def run(options: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> dict[str, dict[str, list[Cost]]]:
    """All nights; what each cost, by kind of night and by way."""
    tree = folder / "tree"
    tree.mkdir()
    shape = Shape(options.files, max(10, options.files // 19))
    build(tree, shape)
    _big_files(tree / "big", options.big_mb)
    server = Server(
        tree, shape, changes=max(10, round(options.files * options.change)), hot_dirs=max(1, shape.dirs // 50)
    )
    costs: dict[str, dict[str, list[Cost]]] = defaultdict(lambda: defaultdict(list))
    with (
        sshd_running(folder / "sshd") as sshd,
        slow_line(sshd.port, rate=options.mbit * 125_000, round_trip=options.round_trip_ms / 1000) as line,
    ):
        ways = Ways(sshd, line, tree, folder)
        kinds = ["first", "unchanged", *["changed"] * options.nights, "renamed"]
        for night, kind in enumerate(kinds):
            if kind == "changed":
                server.night(night)
            elif kind == "renamed":
                (tree / "big").rename(tree / "big renamed")
            commands = list(ways.commands().items())
            turn = night % len(commands)
            for name, argv in commands[turn:] + commands[:turn]:
                cost = _measured(argv, line)
                costs[kind][name].append(cost)
                say(
                    f"{kind:<10} {name:<11} {cost.seconds:7.1f} s, up {cost.up / 1e6:7.2f} MB, "
                    f"down {cost.down / 1e6:7.2f} MB, {cost.logins} logins"
                )
            for name, copy in ways.copies().items():
                _assert_equal(tree, copy, name)
    return costs


def _measured(argv: list[str], line: Line) -> Cost:
    line.reset()
    began = time.monotonic()
    done = subprocess.run(
        argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    seconds = time.monotonic() - began
    if done.returncode not in (0, 3):
        raise BenchError(f"{' '.join(argv)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Cost(seconds, line.up.sent, line.down.sent, line.connections)


def _assert_equal(tree: Path, copy: Path, name: str) -> None:
    argv = ["rsync", "-an", "--delete", "--itemize-changes", "--numeric-ids", f"{tree}/", f"{copy}/"]
    if lines := subprocess.run(argv, capture_output=True, text=True, errors="replace", check=True).stdout.splitlines():
        raise BenchError(f"{name}: {len(lines)} entries differ from the source:\n" + "\n".join(lines[:10]))


def _big_files(folder: Path, megabytes: int) -> None:
    folder.mkdir()
    rng, text = random.Random("big"), Text(1)
    for number in range(max(1, megabytes * 1_000_000 // _BIG)):
        with (folder / f"{number:03}.dat").open("wb") as file:
            for _ in range(_BIG >> 13):
                file.write(text.some(rng, 8192)[:8192] if number % 3 == 0 else rng.randbytes(8192))


def _print(costs: dict[str, dict[str, list[Cost]]]) -> None:
    """A line for each kind of night and way: medians, and their ratios to rsync -az."""
    columns = ("night", "way", "seconds", "up MB", "down MB", "logins")
    print("{:<10} {:<11} {:>8} {:>8} {:>8} {:>6}   time, up, down / rsync -az".format(*columns))
    for kind, by_way in costs.items():
        peer = _medians(by_way["rsync -az"])
        for name, some in by_way.items():
            one = _medians(some)
            ratios = ", ".join(f"{a / b:.2f}" if b else "-" for a, b in zip(one[:3], peer[:3], strict=True))
            print(
                f"{kind:<10} {name:<11} {one[0]:8.1f} {one[1] / 1e6:8.2f} {one[2] / 1e6:8.2f} {one[3]:6.0f}   {ratios}"
            )


def _medians(costs: list[Cost]) -> tuple[float, float, float, float]:
    seconds, up, down, logins = (
        statistics.median(getattr(one, name) for one in costs) for name in ("seconds", "up", "down", "logins")
    )
    return seconds, up, down, logins


def main(arguments: list[str] | None = None) -> int:
    """Measure, then print."""
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.slow_line",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--files", type=int, default=50_000)
    add("--big-mb", type=int, default=160)
    add("--nights", type=int, default=3, help="nights with changes")
    add("--change", type=float, default=0.007, help="share of the files touched in such a night")
    add("--mbit", type=float, default=20.0, help="of the line, each way")
    add("--round-trip-ms", type=float, default=150.0)
    add("--work", type=Path, default=Path("/var/tmp/snapmirror-slow-line"))
    add("--json", type=Path, help="write everything measured here")
    options = parser.parse_args(arguments)
    folder = options.work / f"run-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        costs = run(options, folder, lambda text: print(text, file=sys.stderr, flush=True))
    except BenchError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
    if options.json:
        plain = {
            kind: {name: [asdict(one) for one in some] for name, some in ways.items()} for kind, ways in costs.items()
        }
        options.json.write_text(json.dumps(plain, indent=1) + "\n")
    _print(costs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
