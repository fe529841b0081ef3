"""One measured run of one way to back up: time, bytes to and from its image, memory, CPU.

Programs: the measured one, through `launch.py`.

`seconds` is the wall clock of the program, from fork to exit; `synced` goes on until `sync -f` of the store has
returned; `settled` until the filesystem has also written its journal's contents to their places. Bytes are those of
the block device's counters from before the start to settled: what a filesystem only postpones, it does not save.
`source_read` is what came from the server's disk: the same for all who look at every entry, if caches were cold.
`largest` is the biggest resident set of any one process of the run (exact, from wait4); `own` that of the program
itself without its children (VmHWM, looked at ten times a second); `together` the largest sum over all its
processes at one time (same, and pages that they share count twice).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench.images import BenchError, Disk

_LAUNCH = Path(__file__).with_name("launch.py")
_EVERY = 0.1


@dataclass(frozen=True)
class Sample:
    """What one run took. Seconds and bytes."""

    seconds: float
    synced: float
    settled: float
    read: int
    written: int
    source_read: int
    own: int
    largest: int
    together: int
    cpu: float


def measure(argv: list[str], disk: Disk, *, source: Disk, env: dict[str, str], log: Path) -> Sample:
    """Run the program to its end. Raises BenchError with the end of its output when it fails."""
    read, written = disk.counters()
    source_read, _ = source.counters()
    started, ended, code, cpu, own, largest, together = _run(argv, env, log)
    disk.flush()
    synced = time.monotonic_ns()
    disk.settle()
    settled = time.monotonic_ns()
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise BenchError(f"{' '.join(argv)}\nended with {code}:\n{tail}")
    read_after, written_after = disk.counters()
    return Sample(
        seconds=(ended - started) / 1e9,
        synced=(synced - started) / 1e9,
        settled=(settled - started) / 1e9,
        read=read_after - read,
        written=written_after - written,
        source_read=source.counters()[0] - source_read,
        own=own,
        largest=largest,
        together=together,
        cpu=cpu,
    )


def _run(argv: list[str], env: dict[str, str], log: Path) -> tuple[int, int, int, float, int, int, int]:
    read_end, write_end = os.pipe()
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), str(write_end), *argv],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, pass_fds=(write_end,),
            start_new_session=True,
        )  # fmt: skip
    os.close(write_end)
    own = together = 0
    try:
        while not select.select([read_end], [], [], _EVERY)[0]:
            mine, all_of_them = _memory(launcher.pid)
            own, together = max(own, mine), max(together, all_of_them)
        words = os.read(read_end, 200).split()
        launcher.wait()
    except BaseException:
        _stop(launcher)
        raise
    finally:
        os.close(read_end)
    if len(words) != 5:
        raise BenchError(f"{_LAUNCH} ended with {launcher.returncode} and no report")
    largest = int(words[4]) * 1024
    return int(words[0]), int(words[1]), int(words[2]), float(words[3]), own or largest, largest, together or largest


def _memory(launcher: int) -> tuple[int, int]:
    """Peak of the launched program itself, and the present sum of it and all that it started."""
    own = together = 0
    children = program = _children(launcher)
    while children:
        below: list[int] = []
        for pid in children:
            peak, now = _resident(pid)
            together += now
            if pid in program:
                own += peak
            below += _children(pid)
        children = below
    return own, together


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _resident(pid: int) -> tuple[int, int]:
    """VmHWM and VmRSS in bytes; nothing of a process that has just gone."""
    peak = now = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) * 1024
            elif line.startswith("VmRSS:"):
                now = int(line.split()[1]) * 1024
    return peak, now


def _stop(launcher: subprocess.Popen[bytes]) -> None:
    """End the run and all that it started in its session; what a tool starts elsewhere, it must end itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(launcher.pid, number)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            launcher.poll()
            try:
                os.killpg(launcher.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
