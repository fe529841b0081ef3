"""A forked command (see `fork_server`) is, to the kernel and to its programs, what a started one is."""

from __future__ import annotations

import os

import pytest

from tests.support import fake_rsync
from tests.support.fork_server import Servers
from tests.support.runner import SCENE_VARIABLE, Scene

LOOK = """[ "$phase" = list ] || exec "$real" "$@"
look() { echo "== $1"; tr '\\0' '\\n' <"/proc/$PPID/$1" | sort; echo; }
{
    look cmdline; look environ
    readlink /proc/$PPID/cwd /proc/$PPID/exe /proc/$PPID/fd/0
    for number in 1 2; do readlink /proc/$PPID/fd/$number | tr -d 0-9; done
    readlink /proc/$PPID/fd/* | grep --count socket:
    [ "$(ps -o sid= -p $PPID)" != "$(ps -o sid= -p %d)" ] && echo a session of its own
    grep --extended-regexp 'Sig(Blk|Ign|Cgt)|Umask|Seccomp|NoNewPrivs' /proc/$PPID/status
    awk '{print $19}' /proc/$PPID/stat
    env | grep --invert-match SNAPMIRROR_RUN | sort
} >"%s"
"""


def test_a_forked_command_is_what_a_started_one_is(scene: Scene) -> None:
    seen = []
    looked = scene.folder / "looked"
    fake_rsync.install(scene, LOOK % (os.getpid(), looked))
    for number in range(4):
        result = scene.night() if number else scene.finish(scene.start("run", "--json"))
        assert result.exit_code == 0
        seen.append(looked.read_text())
    assert Servers.server is not None, "no command was forked"
    started, *forked = seen
    assert f"{SCENE_VARIABLE}={scene.folder}\n" in started and "\nsnapmirror\n" in started
    assert forked == [started] * 3


@pytest.mark.parametrize("words", [["run", "nowhere"], ["list", "--json"], ["find", os.fsdecode(b"\xff\xc3\xa9")]])
def test_what_is_said_and_the_exit_code(scene: Scene, words: list[str]) -> None:
    (scene.source / os.fsdecode(b"\xff\xc3\xa9")).write_text("a name that is not UTF-8")
    scene.night()
    started, forked = scene.command(*words), scene.command(*words)
    assert forked == started


@pytest.mark.parametrize("name", ["TERM", "KILL"])
def test_a_signal(scene: Scene, name: str) -> None:
    scene.night()
    fake_rsync.install(scene, f'[ "$phase" = list ] && kill -{name} $PPID && sleep 5')
    started = scene.finish(scene.start("run", "--json"))
    assert scene.leftovers() == []
    forked = scene.night(expect=None)
    assert scene.leftovers() == []
    assert forked.exit_code == started.exit_code != 0
