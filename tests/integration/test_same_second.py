"""A file that changes once more in the second in which it was fetched is fetched by the next night."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.runner import Scene
from tests.support.sshd import rsync_daemon_running, sshd_running

SECOND = 1_000_000_000
AHEAD = 3600  # seconds, so that no machine is too slow for these files to be new


def put(path: Path, content: bytes, ns: int) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(ns, ns))


def change_unseen(scene: Scene) -> None:
    """A night, and changes of the same size in the same second, as a listing has it."""
    now = int(time.time()) + AHEAD
    for name in ("one", "d/-two\n", "rests", "grouped"):
        (scene.source / name).parent.mkdir(exist_ok=True)
        put(scene.source / name, b"1", now * SECOND + 100)
    os.link(scene.source / "grouped", scene.source / "further")
    scene.night()
    for name in ("one", "d/-two\n", "grouped"):
        put(scene.source / name, b"2", now * SECOND + 200)


def seen(scene: Scene) -> dict[str, bytes]:
    newest = scene.slots()[1]
    return {name: (newest / name).read_bytes() for name in ("one", "d/-two\n", "rests", "grouped", "further")}


def test_it_is_fetched(scene: Scene) -> None:
    change_unseen(scene)
    ended = scene.night().mirror
    assert seen(scene) == {"one": b"2", "d/-two\n": b"2", "rests": b"1", "grouped": b"2", "further": b"2"}
    assert (ended["updated"], ended["warnings"]) == (0, []), "to the listing they are as they were"
    first = scene.slots()[2]
    assert (first / "one").read_bytes() == b"1"
    assert (first / "rests").samefile(scene.slots()[1] / "rests")


def test_a_file_that_was_at_rest_costs_no_question(scene: Scene) -> None:
    """Rejected: to look at all files again. What the night before did not fetch was looked at by then."""
    put(scene.source / "rests", b"1", (int(time.time()) + AHEAD) * SECOND)
    (scene.source / "other").write_bytes(b"1")
    os.utime(scene.source / "other", (1_600_000_000, 1_600_000_000))
    for questions in (0, 1, 0):
        night = scene.command("--verbose", "run")
        assert (night.exit_code, night.stderr.count(" --files-from=- ")) == (0, questions), night


@pytest.mark.parametrize("kind", ["ssh", "module", "folder of a module"])
def test_over_a_connection(scene: Scene, kind: str) -> None:
    with ExitStack() as stack:
        if kind == "ssh":
            server = stack.enter_context(sshd_running(scene.folder / "sshd"))
            scene.configure(source=f"{server.login}:{scene.source}/", **server.options())
        else:
            inside = scene.folder if "folder" in kind else scene.source
            port = stack.enter_context(rsync_daemon_running(scene.folder / "daemon", inside))
            where = "source/" if "folder" in kind else ""
            scene.configure(source=f"rsync://127.0.0.1:{port}/data/{where}")
        change_unseen(scene)
        scene.night()
        assert seen(scene) == {"one": b"2", "d/-two\n": b"2", "rests": b"1", "grouped": b"2", "further": b"2"}
