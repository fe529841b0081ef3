"""Why a server or one of our own files stands in the way: the night and the doctor say what it is, and what to type.

Real servers, whose restricted keys run real and broken programs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.runner import Scene
from tests.support.sshd import RRSYNC, Sshd, rsync_daemon_running, sshd_running


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Sshd]]:
    """A server and a gate before it, which know each other's keys."""
    folder = tmp_path_factory.mktemp("servers")
    with sshd_running(folder / "server") as server, sshd_running(folder / "gate") as gate:
        gate.authorized_keys.write_text(gate.authorized_keys.read_text() + (server.folder / "identity.pub").read_text())
        yield server, gate


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    (scene.source / "file").write_text("first")
    yield scene
    scene.kill_processes()


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def told(scene: Scene, code: int, message: str, mend: str, *, doctor: int | None = None) -> None:
    """The night and the doctor say the same."""
    result = scene.night(expect=(code,))
    error, hint = result.mirror["error"], result.mirror["hint"]
    assert message in error and mend in hint, f"{error}\n{hint}"
    assert "too old" not in error + hint and "Traceback" not in error + hint
    checks = scene.command("doctor", "--json")
    assert checks.exit_code == (code if doctor is None else doctor), str(checks)
    [check] = [one for one in checks.json["checks"] if one["level"] == "fail"]
    assert message in check["message"] and mend in check["mend"], check


BROKEN: dict[str, tuple[Callable[[Path], str], str, str]] = {
    "rrsync without python3": (
        lambda folder: f"{program(folder, 'rrsync', '#!/nonexistent/python3')} -ro /",
        "rrsync does not run on the server: it, or the python3 that it needs, is missing", "python3",
    ),
    "rrsync without python3, by env": (
        lambda folder: f"{program(folder, 'rrsync', '#!/usr/bin/env python3.99')} -ro /",
        "rrsync does not run on the server: it, or the python3 that it needs, is missing", "python3",
    ),
    "no rrsync": (lambda folder: "/nonexistent/rrsync -ro /", "rrsync does not run on the server", "python3"),
    "rrsync without rsync": (
        lambda folder: f"{program(folder, 'rrsync', _without_rsync())} -ro {folder}",
        "there is no rsync on the server", "install it there",
    ),
    "a folder that is not there": (
        lambda folder: f"{RRSYNC} -ro /nonexistent",
        "the folder that the key is restricted to is missing", "authorized_keys",
    ),
    "a key for writing": (lambda folder: f"{RRSYNC} -wo {folder}", "rrsync on the server refuses", "authorized_keys"),
    "no rsync": (lambda folder: "/nonexistent/rsync --server", "there is no rsync on the server", "rsync_path"),
    "no sudo": (lambda folder: "no-sudo rsync --server", "a command is missing on the server", "rsync_path"),
    "sudo asks": (
        lambda folder: "echo 'sudo: a password is required' >&2; exit 1",
        "sudo on the server asks for a password", "NOPASSWD",
    ),
    "an account that is closed": (lambda folder: "/usr/sbin/nologin", "is not rsync", "shell"),
    "something else": (
        lambda folder: "echo 'no backups on sundays' >&2; exit 1",
        "the command on the server ended before rsync began (no backups on sundays)", "by hand",
    ),
}  # fmt: skip


def _without_rsync() -> str:
    return Path(RRSYNC).read_text().replace("RSYNC = '/usr/bin/rsync'", "RSYNC = '/nonexistent/bin/rsync'")


@pytest.mark.parametrize("what", BROKEN)
def test_what_a_login_meets(scene: Scene, servers: tuple[Sshd, Sshd], what: str) -> None:
    server, _ = servers
    (server.folder / "home" / ".bashrc").write_text("echo 'stty: Inappropriate ioctl' >&2\n")
    command, message, mend = BROKEN[what]
    key = server.restrict(command(scene.folder))
    scene.configure(source=f"{server.login}:/source", **{**server.options(), "identity": str(key)})
    told(scene, 12, message, mend)


@pytest.mark.parametrize("option", ["identity", "password_file", "known_hosts", "exclude_from", "include_from"])
def test_files_that_are_not_there(scene: Scene, servers: tuple[Sshd, Sshd], option: str) -> None:
    server, _ = servers
    missing = scene.folder / "missing"
    if option == "password_file":
        scene.configure(source="rsync://127.0.0.1:9/data")
    else:
        scene.configure(source=f"{server.login}:{scene.source}", **server.options())
    scene.configure(**{option: str(missing)})  # type: ignore[arg-type]
    told(scene, 12, f"{option} {missing} does not exist", f"change {option}", doctor=2)


def test_a_password_that_a_windows_editor_has_saved(scene: Scene) -> None:
    """The daemon's answer was "auth failed"."""
    secret = scene.folder / "secret"
    secret.write_bytes(b"\xef\xbb\xbfword\r\n")
    secret.chmod(0o600)
    with rsync_daemon_running(scene.folder / "rsyncd", scene.source, password="word") as port:
        scene.configure(source=f"rsync://backup@127.0.0.1:{port}/data", password_file=str(secret))
        told(scene, 12, f"password_file {secret} begins with a byte order mark", "save it as UTF-8 without", doctor=2)
        checks = scene.command("doctor", "--json").json["checks"]
        [mend] = [one["mend"] for one in checks if one["level"] == "fail"]
        subprocess.run(["sh", "-c", mend.partition(": ")[2]], check=True)
        assert secret.read_bytes() == b"word\r\n"
        scene.night()


def test_a_password_that_others_can_read(scene: Scene) -> None:
    secret = scene.folder / "secret"
    secret.write_text("word\n")
    secret.chmod(0o604)
    with rsync_daemon_running(scene.folder / "rsyncd", scene.source, password="word") as port:
        scene.configure(source=f"rsync://backup@127.0.0.1:{port}/data", password_file=str(secret))
        told(scene, 12, f"password_file {secret} can be read by others", f"chmod 600 {secret}", doctor=2)
        secret.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(secret, 65534, 65534)
            told(scene, 12, f"password_file {secret} belongs to another user", f"chown root {secret}", doctor=2)
            os.chown(secret, 0, 0)
        assert scene.night().mirror["warnings"] == []


def test_a_key_that_others_can_read(scene: Scene, servers: tuple[Sshd, Sshd]) -> None:
    server, _ = servers
    key = scene.folder / "key"
    key.write_bytes(server.identity.read_bytes())
    key.chmod(0o644)
    scene.configure(source=f"{server.login}:{scene.source}", **{**server.options(), "identity": str(key)})
    told(scene, 12, f"identity {key} can be read by others", f"chmod 600 {key}", doctor=2)


def test_whose_host_key_it_is(scene: Scene, servers: tuple[Sshd, Sshd], monkeypatch: pytest.MonkeyPatch) -> None:
    """The jump host's key is asked of the jump host, with its port; the server's of the jump host, who alone sees it.

    What is proposed mends it.
    """
    server, gate = servers
    known = scene.folder / "known"
    known.write_text("")
    options = {**server.options(), "jump_host": f"{gate.login}:{gate.port}", "known_hosts": str(known)}
    scene.configure(source=f"{server.login}:{scene.source}", **options)

    def examined() -> dict[str, str]:
        done = scene.command("doctor", "--json")
        [check] = [one for one in done.json["checks"] if one["topic"] == "mirror web" and one["level"] != "warn"]
        assert isinstance(check, dict)
        return check

    check = examined()
    assert (
        check["message"].startswith(f"{server.login}:{scene.source}")
        and "the jump host [127.0.0.1]" in check["message"]
    )
    command = check["mend"].partition("keep it: ")[2]
    assert command == f"ssh-keyscan -p {gate.port} 127.0.0.1 >> {known}"
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)

    check = examined()
    assert "jump host" not in check["message"] and "host key is not known" in check["message"]
    command = check["mend"].partition("keep it: ")[2]
    scan = f"ssh-keyscan -p {server.port} 127.0.0.1 >> {known}"
    assert command == f"ssh -p {gate.port} {gate.login} {scan}"
    login = f"ssh -i {server.identity} -o UserKnownHostsFile={known}"  # as somebody who may log in there would
    subprocess.run(["bash", "-c", command.replace("ssh", login, 1)], check=True, capture_output=True)
    assert "reachable" in examined()["message"]

    gate.new_host_key()
    check = examined()
    assert "the jump host" in check["message"] and "host key has changed" in check["message"]
    remove = check["mend"].partition("really reinstalled: ")[2].partition(";")[0]
    assert remove == f"ssh-keygen -R '[127.0.0.1]:{gate.port}' -f {known}"
