"""The terminal is lost: the line breaks, the window is closed. That is a stop by SIGHUP, and no fault of the store."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import fake_rsync
from tests.support.runner import Scene


def on_terminal(scene: Scene, *words: str | Path) -> tuple[subprocess.Popen[bytes], int]:
    """A command as the first one of a terminal, whose other end is returned."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        scene.argv(*words), stdin=slave, stdout=slave, stderr=slave, env=scene.environ(), cwd="/",
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )  # fmt: skip
    os.close(slave)
    return process, master


def shown_until(master: int, done: Callable[[bytes], bool]) -> bytes:
    """What is shown until something is so. Somebody must read it: a terminal that is full keeps a program waiting."""
    seen, deadline = b"", time.monotonic() + 60
    while not done(seen):
        assert time.monotonic() < deadline, seen.decode(errors="replace")
        if select.select([master], [], [], 0.05)[0]:
            seen += os.read(master, 4096)
    return seen


@pytest.mark.parametrize("verbose", [[], ["--verbose"]])
def test_a_night_whose_terminal_is_lost(scene: Scene, verbose: list[str]) -> None:
    scene.night()
    for number in range(300):
        (scene.source / f"file{number}").write_text(str(number) * 1000)
    body = f'if [ "$phase" = transfer ]; then touch {scene.folder}/begun; exec "$real" --bwlimit=20 "$@"; fi'
    fake_rsync.install(scene, body)
    process, master = on_terminal(scene, *verbose, "run")
    shown_until(master, lambda _: (scene.folder / "begun").exists())
    os.close(master)
    assert process.wait(60) == 143
    assert len(scene.published()) == 1
    assert scene.leftovers() == []
    scene.fake_program("rsync", '#!/bin/sh\nexec /usr/bin/rsync "$@"\n')
    scene.night()


def test_a_terminal_that_is_lost_without_a_signal_ends_nothing(scene: Scene) -> None:
    """nohup, with the output left where it was: the night goes on without it."""
    for number in range(30):
        (scene.source / f"file{number}").write_text(str(number) * 1000)
    fake_rsync.install(scene, f'if [ "$phase" = transfer ]; then touch {scene.folder}/begun; sleep 2; fi')
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *scene.argv("run")], stdin=subprocess.DEVNULL, stdout=slave,
        stderr=slave, env=scene.environ(), cwd="/", start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    shown_until(master, lambda _: (scene.folder / "begun").exists())
    os.close(master)
    assert process.wait(60) == 0
    assert len(scene.published()) == 1


def test_a_question_that_gets_no_answer(scene: Scene) -> None:
    scene.night()
    words = ("restore", "newest", "/", "--to", scene.folder / "out")
    process, master = on_terminal(scene, *words)
    shown_until(master, lambda seen: b"[y/N]" in seen)
    os.close(master)
    assert process.wait(60) == 143

    def answered(key: bytes, told: bytes, code: int) -> None:
        process, master = on_terminal(scene, *words)
        shown_until(master, lambda seen: b"[y/N]" in seen)
        os.write(master, key)
        shown_until(master, lambda seen: told in seen)
        assert process.wait(60) == code
        os.close(master)

    answered(b"\x04", b"nothing was written", 0)  # Ctrl-D
    answered(b"\x03", b"nothing was changed", 130)  # Ctrl-C
    assert not (scene.folder / "out").exists()


def test_a_check_whose_terminal_is_lost(scene: Scene) -> None:
    """The doctor took the signal for one more thing that is wrong, and went on with the next check."""
    begun = scene.folder / "begun"
    image = {"file": str(scene.folder / "i.img"), "size": "512M", "encryption": "luks1"}
    scene.image = {**image, "key_command": ["sh", "-c", f"touch {begun}; exec sleep 60"]}
    scene.image["header_backup"] = str(scene.folder / "header")
    scene.configure()
    process, master = on_terminal(scene, "doctor")
    shown_until(master, lambda _: begun.exists())
    os.close(master)
    assert process.wait(60) == 143
    assert scene.leftovers() == []
