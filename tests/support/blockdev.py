"""A disk image shown as a file by a daemon that does something to it on the way. Program: qemu-storage-daemon.

`exported` shows any graph of QEMU's block nodes; `failing` is one whose disk has errors. Not for direct I/O (FACTS).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from tests.support.waiting import until

Node = dict[str, object]
_EVENTS = {"read": "read_aio", "write": "write_aio", "flush": "flush_to_disk"}
_EIO = 5


@contextmanager
def exported(nodes: Sequence[Node], shown: Path, *, trace: Path | None = None) -> Iterator[psutil.Popen]:
    """The last of these nodes is there as the file `shown`. Reads and writes are told in the file `trace`."""
    shown.touch(mode=0o600)
    export = {"type": "fuse", "id": "export", "node-name": nodes[-1]["node-name"], "mountpoint": str(shown)}
    argv = ["qemu-storage-daemon", *(["--trace", "blk_co_p*v"] if trace else [])]
    for node in nodes:
        argv += ["--blockdev", json.dumps(node)]
    argv += ["--export", json.dumps({**export, "writable": True, "growable": False, "allow-other": "off"})]
    with open(trace or os.devnull, "wb") as said:
        daemon = psutil.Popen(argv, stderr=said if trace else None)
    try:
        until(lambda: os.path.ismount(shown), "qemu-storage-daemon exports", running=daemon)
        yield daemon
    finally:
        with suppress(psutil.NoSuchProcess):
            daemon.terminate()
        try:
            daemon.wait(60)
        except psutil.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        # one that was killed leaves its mount, which then is not even one that can be looked at
        subprocess.run(["umount", shown], check=False, stderr=subprocess.DEVNULL)


@dataclass(frozen=True)
class Failure:
    """An error of the disk (EIO) at its n-th read, write or flush: at that one, or from then on."""

    kind: Literal["read", "write", "flush"]
    number: int
    lasting: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.number} and all later ones" if self.lasting else f"{self.kind} {self.number}"


def failing(disk: Path, failure: Failure | None) -> list[Node]:
    """The nodes of a disk with this error; None: a sound one."""
    rules: Node = {}
    if failure is not None:
        event = _EVENTS[failure.kind]
        # the state counts the events; a rule that is not `once` stays in force
        if counted := [{"event": event, "state": n, "new_state": n + 1} for n in range(1, failure.number)]:
            rules["set-state"] = counted
        rules["inject-error"] = [
            {
                "event": event,
                "iotype": failure.kind,
                "state": failure.number,
                "errno": _EIO,
                "once": not failure.lasting,
            }
        ]
    return [
        {"driver": "file", "node-name": "disk", "filename": str(disk), "discard": "unmap"},
        {"driver": "blkdebug", "node-name": "failing", "image": "disk", "discard": "unmap", **rules},
        {"driver": "raw", "node-name": "top", "file": "failing", "discard": "unmap"},
    ]


def traced(trace: Path) -> dict[str, int]:
    """How many reads and writes a trace tells of."""
    text = trace.read_text()
    return {"read": text.count("blk_co_preadv "), "write": text.count("blk_co_pwritev ")}
