"""Kill a run at a chosen system call: strace's fault injection, no hooks in the product.

Only the main process is traced (no --follow-forks), so only its calls are counted and only it dies, as from an
operator's kill -9 or the kernel's memory killer. The chosen call is never carried out: SIGKILL arrives at its entry.
What the killed run started is left to itself: ending it is the business of the next run.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.support.runner import Result, Scene

RENAMES = ("rename", "renameat", "renameat2")
FLUSHES = ("fsync", "fdatasync", "syncfs", "sync")
NAMES = ("link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir")
WRITES = ("write", "pwrite64", "ftruncate", "truncate")
ATTRIBUTES = ("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utimensat", "setxattr",
              "lsetxattr", "fsetxattr")  # fmt: skip
SIGNALS = ("kill", "tgkill", "pidfd_send_signal")
STARTS = ("clone", "clone3", "vfork", "fork", "wait4", "waitid")
MOUNTS = ("mount", "umount2", "ioctl")


def counted(scene: Scene, calls: tuple[str, ...], *words: str) -> tuple[int, Result]:
    """How many of these calls the main process makes in a run that is left alone."""
    log = scene.folder / "strace.log"
    under = ["strace", "--quiet=all", f"--output={log}", f"--trace={_set(calls)}", "--signal=none"]
    result = scene.command("run", *words, under=under)
    return len(_lines(log)), result


def census(scene: Scene, calls: tuple[str, ...], *words: str) -> Counter[str]:
    """The same, by name."""
    counted(scene, calls, *words)
    return Counter(line.split("(")[0] for line in _lines(scene.folder / "strace.log"))


def killed_at(scene: Scene, calls: tuple[str, ...], number: int, *words: str, signal: str = "SIGKILL") -> Result:
    """Run a night that gets `signal` at the entry of the `number`-th of these calls."""
    log = scene.folder / "strace.log"
    under = [
        "strace", "--quiet=all", f"--output={log}", f"--trace={_set(calls)}", "--signal=none",
        f"--inject={_set(calls)}:signal={signal}:when={number}",
    ]  # fmt: skip
    return scene.command("run", *words, under=under)


def last_call(scene: Scene) -> str:
    """The call at which the run was killed, for messages."""
    lines = _lines(scene.folder / "strace.log")
    return lines[-1] if lines else "(no call traced)"


def spread(total: int, most: int) -> list[int]:
    """1..total, or `most` of them, evenly spread with both ends kept."""
    if total <= most:
        return list(range(1, total + 1))
    return sorted({1 + round(step * (total - 1) / (most - 1)) for step in range(most)})


def _set(calls: tuple[str, ...]) -> str:
    return "?" + ",?".join(calls)  # a question mark: not every architecture has every call


def _lines(log: Path) -> list[str]:
    text = log.read_text(errors="replace")
    return [line for line in text.splitlines() if re.match(r"[a-z0-9_]+\(", line)]
