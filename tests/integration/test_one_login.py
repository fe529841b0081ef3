"""A night logs in once: its rsyncs share a connection of ours, and log in by themselves where there is none."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import put
from tests.support.runner import Scene
from tests.support.sshd import RRSYNC, Sshd
from tests.support.waiting import until

STALE = "snapmirror-ssh.4194305.abc"  # of a process that cannot be: it is beyond the greatest number


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    put(scene.source / "folder" / "file", b"first")
    yield scene
    scene.kill_processes()


def logins(sshd: Sshd) -> int:
    return sshd.log().count("Accepted publickey")


def good_night(scene: Scene, *words: str) -> None:
    result = scene.night(*words)
    assert result.mirror["warnings"] == [], str(result)
    for path in scene.source.rglob("*"):
        kept = scene.slots()[1] / path.relative_to(scene.source)
        assert kept.is_dir() if path.is_dir() else kept.read_bytes() == path.read_bytes()
    assert scene.leftovers() == []
    assert list(scene.scratch.iterdir()) == []


@pytest.mark.parametrize("restricted", [False, True])
def test_a_night_logs_in_once(scene: Scene, sshd: Sshd, restricted: bool) -> None:
    """A first, a changed and a full night; with a key that may only run rrsync, too."""
    if restricted:
        key = sshd.restrict(f"{RRSYNC} -ro {scene.source}")
        scene.configure(source=f"{sshd.login}:/", identity=str(key))
    for number, words in enumerate(([], [], ["--full"])):
        put(scene.source / "folder" / f"more{number}", b"more", 1_600_000_000 + number)
        good_night(scene, *words)
        assert logins(sshd) == number + 1


def test_a_plan_and_healing_log_in_once(scene: Scene, sshd: Sshd) -> None:
    """Both ask the source twice."""
    good_night(scene)
    assert scene.command("plan", "--full").exit_code == 0
    assert logins(sshd) == 2
    damaged = scene.slots()[1] / "folder" / "file"
    status = damaged.stat()
    damaged.write_bytes(b"FIRST")
    os.utime(damaged, ns=(status.st_atime_ns, status.st_mtime_ns))
    healed = scene.command("verify", "--full", "--heal")
    assert healed.exit_code == 3, str(healed)
    assert damaged.read_bytes() == b"first"
    assert logins(sshd) == 3


def test_a_server_that_allows_one_session_at_a_time(scene: Scene, sshd: Sshd) -> None:
    settings = sshd.folder / "sshd_config"
    settings.write_text(settings.read_text() + "MaxSessions 1\n")
    good_night(scene)
    assert logins(sshd) >= 1


def test_without_a_socket_each_rsync_logs_in(scene: Scene, sshd: Sshd) -> None:
    refusal = "echo 'unix_listener: cannot bind to path: Operation not permitted' >&2; exit 255"
    scene.fake_program(
        "ssh", f'#!/bin/sh\ncase "$*" in *ControlMaster=yes*) {refusal};; esac\nexec /usr/bin/ssh "$@"\n'
    )
    good_night(scene)
    assert logins(sshd) == 2, "for the listing and for the tree"


def test_a_connection_that_ends_early_is_not_missed(scene: Scene, sshd: Sshd) -> None:
    """It is ended when the first rsync wants to use it."""
    scene.fake_program(
        "ssh",
        f"""#!/bin/sh
        shared() {{ tr '\\0' '\\n' <$1/cmdline 2>&- | grep -q '^-oControlMaster=yes'; }}
        case "$*" in *ControlMaster=no*)
            for one in /proc/[0-9]*; do
                if shared $one && grep -q '{scene.folder}' $one/environ; then
                    kill ${{one#/proc/}}
                    while shared $one; do sleep 0.05; done
                fi
            done
        esac
        exec /usr/bin/ssh "$@"
        """,
    )
    good_night(scene)
    assert logins(sshd) == 3, "the shared one, and one for each rsync"


def test_a_changed_host_key_is_refused_at_the_first_attempt(scene: Scene, sshd: Sshd) -> None:
    good_night(scene)
    sshd.new_host_key()
    before = sshd.log().count("Connection from")
    failed = scene.night(expect=(12,))
    assert "Host key verification failed" in failed.mirror["error"], str(failed)
    assert logins(sshd) == 1
    assert sshd.log().count("Connection from") == before + 1
    assert scene.leftovers() == []


def test_a_login_that_is_refused_is_tried_once(scene: Scene, sshd: Sshd) -> None:
    sshd.authorized_keys.write_text("")
    failed = scene.night(expect=(12,))
    assert "Permission denied" in failed.mirror["error"], str(failed)
    assert sshd.log().count("Connection closed by authenticating user") == 1


def test_a_line_that_breaks_is_called_so(scene: Scene, sshd: Sshd) -> None:
    """The shared connection ends in mid-transfer, as when the server or the network fails; the next night goes on."""
    put(scene.source / "big", os.urandom(8 << 20))
    scene.configure(bandwidth_limit="1M")
    run = scene.start("run", "--json")
    until(lambda: any((scene.home / ".snapmirror/staging/tmp").glob("*")), "it fetches")
    [master] = [one.split()[1].rstrip(":") for one in scene.processes() if "ControlMaster=yes" in one]
    os.kill(int(master), signal.SIGKILL)
    failed = scene.finish(run)
    assert failed.exit_code == 12, str(failed)
    assert "the ssh connection broke off" in failed.mirror["error"], str(failed)
    assert scene.leftovers() == []
    scene.configure(bandwidth_limit="100M")
    good_night(scene)


def test_what_a_killed_run_leaves_is_removed_by_the_next(scene: Scene, sshd: Sshd) -> None:
    put(scene.source / "big", os.urandom(8 << 20))
    scene.configure(bandwidth_limit="1M")
    run = scene.start("run")
    until(lambda: logins(sshd) == 1 and any((scene.home / ".snapmirror/staging/tmp").glob("*")), "it fetches")
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert scene.leftovers() == [], "the kernel ends the connection with the run"
    assert [path.name.partition(".")[0] for path in scene.scratch.iterdir()] == ["snapmirror-ssh"]
    (scene.scratch / STALE).mkdir(mode=0o700)
    scene.configure(bandwidth_limit="100M")
    good_night(scene)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a folder of somebody else")
def test_a_folder_of_somebody_else_is_left_alone(scene: Scene, sshd: Sshd) -> None:
    folder = scene.scratch / STALE
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    assert scene.night().mirror["warnings"] == []
    assert list(scene.scratch.iterdir()) == [folder]
