"""What is set for people changes nothing: variables of the environment, seen by the programs that a night runs."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from snapmirror.environment import passed_on, whole
from snapmirror.errors import UsageError
from snapmirror.process import run
from snapmirror.sources.conversation import conversation
from snapmirror.sources.limits import Flood
from snapmirror.tools import rsync
from snapmirror.tools.rsync import refuse_aliases
from snapmirror.tools.ssh import Login, rsh
from tests.support.runner import Scene
from tests.support.sshd import sshd_running

FOR_PEOPLE = {
    "RSYNC_ICONV": "utf8,latin1",
    "RSYNC_OLD_ARGS": "1",
    "RSYNC_PROTECT_ARGS": "0",
    "RSYNC_MAX_ALLOC": "1",
    "RSYNC_CHECKSUM_LIST": "md4",
    "RSYNC_PARTIAL_DIR": "/nonexistent/partial",
    "RSYNC_RSH": "/bin/false",
    "RSYNC_CONNECT_PROG": "/bin/false",
    "RSYNC_PROXY": "127.0.0.1:1",
    "SHELL": "/bin/false",  # ssh starts a ProxyCommand with it
    "SSH_ASKPASS": "/bin/false",
    "POSIXLY_CORRECT": "1",
    "BLKID_FILE": "/nonexistent",
    "LIBMOUNT_FSTAB": "/nonexistent",
    "LIBMOUNT_DEBUG": "all",
    "LOOPDEV_DEBUG": "all",
    "LIBBLKID_DEBUG": "all",
    "LC_ALL": "de_DE.UTF-8",
    "LANGUAGE": "de",
    "TZ": "Pacific/Kiritimati",
    "LS_COLORS": "no",
    "TAR_OPTIONS": "--xattrs",
    "GREP_OPTIONS": "--color=always",
    "XFS_FORCE": "1",
    "MKE2FS_CONFIG": "/nonexistent",
    "TUNE2FS_FORCE_PROMPT": "1",
}


def test_a_night_does_not_see_what_is_set_for_people(tmp_path: Path) -> None:
    """Over ssh and a jump host, with names that one of these variables would rename, or leave out."""
    scene = Scene(tmp_path, environment=FOR_PEOPLE)
    for name in ("plain", "caf\u00e9", "two words", "a*b", b"\xff\xfe".decode("utf-8", "surrogateescape")):
        (scene.source / name).write_text("x")
    names = sorted(path.name for path in scene.source.iterdir())
    with sshd_running(tmp_path / "sshd") as server, sshd_running(tmp_path / "gate") as gate:
        gate.authorized_keys.write_text(gate.authorized_keys.read_text() + (server.folder / "identity.pub").read_text())
        server.known_hosts.write_text(server.known_hosts.read_text() + gate.known_hosts.read_text())
        options = {**server.options(), "jump_host": f"{gate.login}:{gate.port}"}
        scene.configure(source=f"{server.login}:{scene.source}", **options)
        for words in ([], ["--full"]):
            assert scene.night(*words).mirror["warnings"] == []
            assert sorted(path.name for path in scene.slots()[1].iterdir()) == names
            (scene.source / "plain").write_text("more")


def test_aliases_of_rsyncs_options_change_no_night(tmp_path: Path) -> None:
    """~/.popt, which rsync reads: a name would be left out, and a symlink followed. Locally and over ssh."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".popt").write_text("rsync alias --links --copy-links --exclude=left\nrsync alias --perms --chmod=a=r\n")
    scene = Scene(tmp_path / "scene", environment={"HOME": str(home)})
    (scene.source / "left").write_text("x")
    (scene.source / "link").symlink_to("left")

    def is_whole() -> bool:
        newest = scene.slots()[1]
        return (newest / "left").is_file() and (newest / "link").is_symlink()

    scene.night()
    assert is_whole()
    with sshd_running(tmp_path / "sshd") as server:
        scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        for words in ([], ["--full"]):
            (scene.source / "left").write_text("more" * (len(words) + 1))
            scene.night(*words)
            assert is_whole()
    target = scene.folder / "out"
    assert scene.command("restore", "newest", "/", "--to", target, "--yes").exit_code == 0
    assert (target / "left").is_file() and (target / "link").is_symlink()


@pytest.mark.parametrize(
    ("line", "refused"),
    [("rsync alias --links --copy-links", True), ("rs* exec --acls other", True), ("rsync alias -Z --no-perms", False),
     ("tar alias --links --x", False), ("# rsync alias --links", False), ("rsync", False)],
)  # fmt: skip
def test_aliases_for_the_whole_machine_are_refused(tmp_path: Path, line: str, refused: bool) -> None:
    """Nothing keeps rsync from reading /etc/popt."""
    file = tmp_path / "popt"
    file.write_text(f"other alias --x --y\n{line}\n")
    with pytest.raises(UsageError, match="changes what rsync's option") if refused else nullcontext():
        refuse_aliases([tmp_path / "missing", file])


def test_every_conversation_with_rsync_looks_for_such_aliases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores and transfers as well: all of them are conversations."""
    file = tmp_path / "popt"
    file.write_text("rsync alias --links --copy-links\n")
    monkeypatch.setattr(rsync, "_POPT", file)
    with pytest.raises(UsageError, match="changes what rsync's option"), conversation(["true"], Flood("a restore")):
        pass


def test_no_ssh_on_this_machine_is_not_the_servers_fault(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for program in ("rsync", "env"):
        (scene.programs / program).symlink_to(f"/usr/bin/{program}")
    argv = scene.argv("run")
    scene.configure(source="root@127.0.0.1:/x")
    environment = scene.environ() | {"PATH": str(scene.programs)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert "the program ssh is not installed" in done.stderr, done.stderr
    assert done.returncode == 2


def test_ssh_has_its_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """rsync has none; a ProxyCommand of ssh_config may need it."""
    monkeypatch.setenv("HOME", "/home/two words")
    assert "HOME" not in passed_on("rsync") and passed_on("ssh")["HOME"] == "/home/two words"
    assert rsh(Login(port=22)).startswith("env 'HOME=/home/two words' ssh ")


def test_what_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program gets what it needs to run at all, a login its agent, and our mark; nothing else."""
    for name, value in FOR_PEOPLE.items():
        monkeypatch.setenv(name, value)
    needed = {"PATH": "/usr/bin:/bin", "HOME": "/home/op", "TMPDIR": "/tmp", "SSH_AUTH_SOCK": "/run/agent",
              "KRB5CCNAME": "FILE:/tmp/krb5", "SNAPMIRROR_RUN": "7"}  # fmt: skip
    for name, value in needed.items():
        monkeypatch.setenv(name, value)
    lines = run(["env"]).text.splitlines()
    seen = dict(line.partition("=")[::2] for line in lines)
    assert needed.items() <= seen.items()
    assert {name: seen[name] for name in FOR_PEOPLE if name in seen} == {"LC_ALL": "C", "TZ": "UTC"}
    assert passed_on() == seen


def test_a_program_that_the_configuration_names_sees_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_STORE_DIR", "/srv/passwords")
    assert whole()["PASSWORD_STORE_DIR"] == "/srv/passwords" and whole()["LC_ALL"] == "C"
