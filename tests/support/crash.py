"""Kill a run at a chosen system call: strace's fault injection, no hooks in the product.

The chosen call is never carried out: SIGKILL arrives at its entry, as from an operator's kill -9 or the kernel's memory
killer. strace counts each call by itself, in each thread and in each child: a `Point` is the n-th of one system call,
and whoever makes it first is killed, be it snapmirror (all its threads die) or one of its programs (the night fails).
What a killed run has started is left to itself: ending it is the business of the next run.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.support.runner import Result, Scene

Item = TypeVar("Item")
RENAMES = ("rename", "renameat", "renameat2")
FLUSHES = ("fsync", "fdatasync", "syncfs", "sync")
NAMES = ("link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir")
WRITES = ("write", "pwrite64", "ftruncate", "truncate")
ATTRIBUTES = ("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utimensat", "setxattr",
              "lsetxattr", "fsetxattr")  # fmt: skip
STARTS = ("clone", "clone3", "vfork", "fork", "wait4", "waitid")
_LINE = re.compile(r"(\d+) +([a-z0-9_]+)\(")
_STOPPED = re.compile(r"^(\d+) +--- stopped by SIGSTOP", re.MULTILINE)
# what ends a step, in a line of strace, and the step that follows
_STEPS = (
    ("open the store done", "list, plan and slot"),
    ("prepare the slot done", "transfer"),
    (": transfer done", "seal"),
    ('record.json"', "rotate and expire"),
    (": seal done", "release and report"),
)


@dataclass(frozen=True)
class Point:
    """The `number`-th time that some thread or program makes the system call `call`."""

    call: str
    number: int


def points(scene: Scene, calls: Iterable[str], *words: str, command: str = "run") -> tuple[list[Point], Result]:
    """Every point of a night (or another command) that is left alone, in the order of time, and how that ended."""
    result = scene.command(command, *words, under=[*_strace(scene, calls), "--seccomp-bpf"])
    seen: dict[Point, None] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for who, call in _calls(scene):
        counts[who, call] += 1
        seen.setdefault(Point(call, counts[who, call]))
    return list(seen), result


def killed_at(scene: Scene, point: Point, *words: str, signal: str = "SIGKILL", command: str = "run") -> Result:
    """Run a night in which whoever comes to this point first gets `signal`."""
    return _injected(scene, point, f"signal={signal}", command, *words)


def failing_at(scene: Scene, point: Point, error: str, *words: str, command: str = "run") -> Result:
    """Run a night in which this call fails with `error` ("ENOSPC"), from that time on."""
    return _injected(scene, point, f"error={error}", command, *words, after="+")


def changed_at(scene: Scene, point: Point, change: Callable[[], None], *words: str) -> tuple[Result, bool]:
    """Run a night that stands still right after this call while `change` is made; False if it was over before."""
    inject = f"--inject={point.call}:signal=SIGSTOP:when={point.number}"
    _log(scene).unlink(missing_ok=True)  # an older night's would be taken for this one's
    process = scene.start("run", *words, under=[*_strace(scene, [point.call], signals="STOP"), inject])
    stopped: set[str] = set()
    while process.poll() is None:
        said = _log(scene).read_text(errors="replace") if _log(scene).exists() else ""
        if (now := set(_STOPPED.findall(said))) and not stopped:
            change()
        stopped |= now  # others may come to their n-th such call later
        for who in stopped:  # again and again: a SIGCONT between strace's line and its next step is lost
            with suppress(ProcessLookupError):
                os.kill(int(who), signal.SIGCONT)
        time.sleep(0.01)
    return scene.finish(process), bool(stopped)


def steps(scene: Scene, *words: str) -> tuple[dict[str, list[Point]], Result]:
    """The points of a night that is left alone, by the step in which they lie: what its log says ends a step."""
    calls = [*RENAMES, *FLUSHES, *NAMES, *WRITES, "execve"]
    result = scene.command("run", *words, under=[*_strace(scene, calls), "--seccomp-bpf", "--string-limit=200"])
    found: dict[str, list[Point]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    step, rest = "open", list(_STEPS)
    for line in _log(scene).read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        who, call = match.groups()
        counts[who, call] += 1
        point = Point(call, counts[who, call])
        if not any(point in points for points in found.values()):
            found.setdefault(step, []).append(point)
        if rest and rest[0][0] in line:
            step = rest.pop(0)[1]
    assert not rest, f"the night never came to {rest}: {result}"
    return found, result


def _injected(scene: Scene, point: Point, what: str, command: str, *words: str, after: str = "") -> Result:
    inject = f"--inject={point.call}:{what}:when={point.number}{after}"
    return scene.command(command, *words, under=[*_strace(scene, [point.call]), inject])


def last_call(scene: Scene) -> str:
    """The call at which somebody was killed, for messages."""
    lines = [line for line in _log(scene).read_text(errors="replace").splitlines() if _LINE.match(line)]
    return next((line for line in reversed(lines) if line.endswith("= ?")), lines[-1] if lines else "(no call)")


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """All items, or `most` of them, evenly spread with both ends kept."""
    if len(items) <= most:
        return list(items)
    return [items[place] for place in sorted({round(step * (len(items) - 1) / (most - 1)) for step in range(most)})]


def _strace(scene: Scene, calls: Iterable[str], *, signals: str = "none") -> list[str]:
    # not --seccomp-bpf when something is to be injected: strace 6.1 then injects nothing
    wanted = "?" + ",?".join(calls)  # a question mark: not every architecture has every call
    return [
        "strace", "--follow-forks", "--quiet=all", f"--output={_log(scene)}", f"--trace={wanted}",
        f"--signal={signals}",
    ]  # fmt: skip


def _calls(scene: Scene) -> list[tuple[str, str]]:
    lines = _log(scene).read_text(errors="replace").splitlines()
    return [(match[1], match[2]) for match in map(_LINE.match, lines) if match]


def _log(scene: Scene) -> Path:
    return scene.folder / "strace.log"
