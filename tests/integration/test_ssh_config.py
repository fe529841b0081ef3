"""What is configured for people who log in, here or on the server, neither ends a night nor gives it a warning.

A stand-in for ssh on PATH gives the real one a ssh_config of the test's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.runner import LONG, Scene
from tests.support.sshd import Sshd, free_port, sshd_running

HARMFUL = [
    "VisualHostKey yes", "LogLevel VERBOSE", "LogLevel DEBUG3", "LogLevel QUIET", "LogVerbose *", "RequestTTY force",
    "RemoteCommand echo hello", "StdinNull yes", "SessionType none", "SessionType subsystem",
    "ForkAfterAuthentication yes", "LocalForward {port} localhost:22", "DynamicForward {taken}",
    "LocalForward {taken} localhost:22\nExitOnForwardFailure yes", "RemoteForward 0 localhost:22", "CheckHostIP yes",
    "ControlMaster auto\nControlPath {folder}/%C\nControlPersist 60", "PermitLocalCommand yes\nLocalCommand echo hello",
    "ForwardAgent yes", "ForwardX11 yes", "EscapeChar .", "PubkeyAuthentication no", "Tunnel yes",
    "PreferredAuthentications password", "KnownHostsCommand /bin/false", "StrictHostKeyChecking ask", "BatchMode no",
    "ProxyUseFdpass yes", "AddKeysToAgent ask", "GSSAPIDelegateCredentials yes", "PasswordAuthentication yes",
    "UpdateHostKeys ask", "HashKnownHosts yes", "SendEnv *", "SetEnv TERM=xterm", "Compression yes",
]  # fmt: skip


def bundled(settings: list[str]) -> list[str]:
    """As few files as can be: of two settings for one thing ssh takes the first."""
    bundles: list[list[str]] = []
    for one in settings:
        keys = {line.split()[0] for line in one.splitlines()}
        free = (bundle for bundle in bundles if not keys & {line.split()[0] for line in "\n".join(bundle).splitlines()})
        bundle = next(free, None)
        if bundle is None:
            bundles.append([one])
        else:
            bundle.append(one)
    return ["\n".join(bundle) for bundle in bundles]


BANNER = "*****\nAuthorised users only.\nfile has not vanished; rsync error: none\n*****\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    (scene.source / "file").write_text("first")
    yield scene
    scene.kill_processes()


def configured(scene: Scene, text: str) -> None:
    config = scene.folder / "ssh_config"
    config.write_text(text + "\n")
    scene.fake_program("ssh", f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')


def with_banner(server: Sshd) -> None:
    (server.folder / "banner").write_text(BANNER)
    settings = server.folder / "sshd_config"
    settings.write_text(settings.read_text() + f"Banner {server.folder}/banner\n")
    (server.folder / "home" / ".bashrc").write_text("echo 'stty: Inappropriate ioctl' >&2\n")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Sshd]]:
    """A server and a gate, with banners, and login scripts that complain."""
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        server, gate = (stack.enter_context(sshd_running(folder / name)) for name in ("server", "gate"))
        gate.authorized_keys.write_text(gate.authorized_keys.read_text() + (server.folder / "identity.pub").read_text())
        server.known_hosts.write_text(server.known_hosts.read_text() + gate.known_hosts.read_text())
        with_banner(server)
        with_banner(gate)
        yield server, gate


def good_night(scene: Scene, *words: str) -> None:
    result = scene.night(*words)
    assert result.mirror["warnings"] == [], str(result)
    assert (scene.slots()[1] / "file").read_text() == (scene.source / "file").read_text()


@pytest.mark.parametrize("setting", HARMFUL if LONG else bundled(HARMFUL))
def test_nothing_configured_for_people_changes_our_ssh(scene: Scene, servers: tuple[Sshd, Sshd], setting: str) -> None:
    """Directly and through the gate; the server has a banner, and a login script that complains."""
    server, gate = servers
    setting = setting.format(port=free_port(), taken=server.port, folder=scene.folder)
    configured(scene, "Host *\n" + setting)
    scene.configure(source=f"{server.login}:{scene.source}", **server.options())
    good_night(scene)
    scene.configure(jump_host=f"{gate.login}:{gate.port}")
    (scene.source / "file").write_text("second, longer")
    good_night(scene)
    assert scene.leftovers() == []


def test_what_says_how_a_host_is_reached_counts(scene: Scene, servers: tuple[Sshd, Sshd]) -> None:
    """An alias with its address, port, user, key, known hosts and jump, all in ssh_config."""
    server, gate = servers
    user = server.login.partition("@")[0]
    reach = (
        f"HostName 127.0.0.1\nUser {user}\nIdentityFile {server.identity}\nUserKnownHostsFile {server.known_hosts}\n"
    )
    proxy = f"ProxyCommand /usr/bin/ssh -F {scene.folder}/ssh_config -W %h:%p gate"
    hosts = f"Host web\n{reach}Port {server.port}\n{proxy}\nHost gate\n{reach}Port {gate.port}\n"
    configured(scene, f"{hosts}Host *\nVisualHostKey yes\nRequestTTY force")
    scene.configure(source=f"web:{scene.source}")
    good_night(scene)
    doctor = scene.command("doctor")
    assert "reachable, host key known" in doctor.stdout, str(doctor)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody who cannot read a file")
def test_a_banner_is_not_what_could_not_be_read(scene: Scene, servers: tuple[Sshd, Sshd]) -> None:
    """A warning names what rsync says, and no banner; so does the sentence of a night that fails."""
    server, _ = servers
    configured(scene, "Host *\nVisualHostKey yes")
    (scene.source / "secret").write_text("x")
    (scene.source / "secret").chmod(0)
    for path in (*scene.folder.parents, scene.folder, scene.source):
        path.chmod(path.stat().st_mode | 0o055)
    wrapper = scene.folder / "rsync-there"
    wrapper.write_text('#!/bin/sh\nexec setpriv --reuid 65534 --clear-groups --regid 65534 rsync "$@"\n')
    wrapper.chmod(0o755)
    options = {**server.options(), "rsync_path": str(wrapper)}
    scene.configure(source=f"{server.login}:{scene.source}", **options)
    [warning] = scene.night(expect=(3,)).mirror["warnings"]
    assert warning.startswith("some files could not be read: ") and "secret" in warning, warning
    assert "Authorised" not in warning and "stty" not in warning
    scene.configure(source=f"{server.login}:{scene.source}/missing")
    failed = scene.night(expect=(12,))
    assert "no such folder" in failed.mirror["error"] and "Authorised" not in failed.stdout, str(failed)
