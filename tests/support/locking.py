"""A program that is no snapmirror locks a file, as whoever can open it may. Runs flock."""

from __future__ import annotations

import subprocess
from pathlib import Path

_CODE = "import sys; print('locked', flush=True); sys.stdin.read()"


def held_by_a_stranger(file: Path, how: str = "--shared") -> subprocess.Popen[bytes]:
    """It has the lock when this returns, and until `communicate` is called; its name is flock."""
    argv: list[str | Path] = ["flock", how, "--close", file, "/usr/bin/python3", "-c", _CODE]
    stranger = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
    assert stranger.stdout is not None
    assert stranger.stdout.readline() == b"locked\n"
    return stranger
