"""The history over SMB, by a real Samba with the settings that snapmirror makes, asked by smbclient.

Explorer itself was not run; it asks for Previous Versions by the same calls as smbclient's `allinfo` and @GMT tokens.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.support.fingerprint import fingerprint
from tests.support.runner import Result, Scene
from tests.support.sshd import answers, free_port
from tests.support.storage import TINY
from tests.support.waiting import until

USER, PASSWORD = "snapmirror-anna", "a quite long password"
GONE = ("NT_STATUS_CONNECTION", "NT_STATUS_OBJECT_NAME_NOT_FOUND", "NT_STATUS_OBJECT_PATH_NOT_FOUND",
        "NT_STATUS_NO_SUCH_FILE", "NT_STATUS_BAD_NETWORK_NAME", "NT_STATUS_NETWORK_NAME_DELETED",
        "NT_STATUS_IO_TIMEOUT", "NT_STATUS_INVALID_NETWORK_RESPONSE")  # fmt: skip


class Exported:
    """A scene whose history can be served, and asked for."""

    def __init__(self, folder: Path, *, image: bool) -> None:
        self.port = free_port()
        self.password = folder / "anna.password"
        folder.mkdir(parents=True)
        self.password.write_text(PASSWORD + "\n")
        self.password.chmod(0o600)
        (folder / "img").mkdir()
        disk = {"file": str(folder / "img/store.img"), "size": "512M", "encryption": "none"} if image else {}
        self.scene = Scene(folder, image=disk)
        self.scene.sections = {
            "export": {"port": self.port, "interfaces": ["127.0.0.1"]},
            "export.users": {USER: str(self.password)},
        }
        self.scene.configure(keep_last=3)
        if image:
            initialise(load(self.scene.config), workload=TINY)
        self.contents: dict[str, bytes] = {}

    def night(self) -> str:
        """A night with a file that is another one each time; the id of its snapshot."""
        content = os.urandom(20_000)
        (self.scene.source / "version").write_bytes(content)
        moment = 1_700_000_000 + len(self.contents)  # two nights may lie in one second
        os.utime(self.scene.source / "version", (moment, moment))
        (self.scene.source / "same").write_bytes(b"always the same\n")
        snapshot = str(self.scene.night().mirror["snapshot"])
        self.contents[snapshot] = content
        return snapshot

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[str]]:
        process = self.scene.start("export", "serve")
        try:
            self.wait_until("on")
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            result = self.scene.finish(process)
        assert result.exit_code == 143, str(result)

    def wait_until(self, state: str) -> None:
        def reached() -> bool:
            told = self.scene.command("export", "status", "--json").json["state"]
            return told == state and (state != "on" or answers(self.port))

        until(reached, f"the export is {state}")

    def ask(self, share: str, command: str, *options: str, login: str = f"{USER}%{PASSWORD}") -> Result:
        argv = [
            "smbclient", f"//127.0.0.1/{share}", f"--port={self.port}", "--timeout=20", "--configfile=/dev/null",
            f"--user={login}", *options, "--command", command,
        ]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, check=False)
        return Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def get(self, share: str, name: str) -> bytes | str:
        """The content of a file, or what smbclient says instead."""
        target = self.scene.scratch / f"got-{threading.get_ident()}"
        target.unlink(missing_ok=True)
        result = self.ask(share, f'get "{name}" "{target}"')
        return target.read_bytes() if target.exists() and result.exit_code == 0 else result.stdout + result.stderr


@pytest.fixture(params=["image", "folder"])
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Exported]:
    made = Exported(tmp_path / "scene", image=request.param == "image")
    try:
        yield made
        assert made.scene.leftovers() == []
    finally:
        made.scene.release()
        subprocess.run(["userdel", USER], check=False, stderr=subprocess.DEVNULL)


def test_nothing_of_samba_stays_when_the_shares_were_listed(exported: Exported) -> None:
    """Explorer lists them, too. smbd has other programs answer that, which lived on, with the former settings."""
    exported.scene.environment["TMPDIR"] = "/tmp"  # which is what clients connect to for this
    exported.night()

    def listed() -> None:
        login = f"--user={USER}%{PASSWORD}"
        argv = ["smbclient", f"--port={exported.port}", login, "--configfile=/dev/null", "--list=//127.0.0.1"]
        done = subprocess.run(argv, capture_output=True, check=False)
        assert b"history" in done.stdout, done
        assert any("dcerpcd" in one for one in exported.scene.processes())

    with exported.serving():
        listed()
        exported.night()  # the export pauses meanwhile
        exported.wait_until("on")
        assert not any("rpcd" in one for one in exported.scene.processes())
        listed()
    assert exported.scene.leftovers() == []


def token(snapshot: str) -> str:
    moment = datetime.strptime(snapshot, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=UTC)
    return moment.strftime("@GMT-%Y.%m.%d-%H.%M.%S")


def tokens(exported: Exported, name: str) -> list[str]:
    """The Previous Versions of a file, as Explorer would list them."""
    listed = exported.ask("web", f"allinfo {name}")
    assert listed.exit_code == 0, str(listed)
    return re.findall(r"^@GMT-[0-9.-]+", listed.stdout, flags=re.MULTILINE)


def test_history_can_be_read_and_nothing_else(exported: Exported) -> None:
    secret = exported.scene.folder / "secret"
    secret.write_text("of this machine")
    (exported.scene.source / "leak").symlink_to(secret)
    (exported.scene.source / "deep").mkdir()
    (exported.scene.source / "deep" / "locked").write_bytes(b"for root only")
    (exported.scene.source / "deep" / "locked").chmod(0)
    snapshots = [exported.night() for _ in range(3)]
    with exported.serving():
        # Previous Versions
        assert tokens(exported, "version") == [token(one) for one in reversed(snapshots)]
        assert exported.get("web", "version") == exported.contents[snapshots[-1]]
        for snapshot in snapshots:
            assert exported.get("web", f"{token(snapshot)}\\version") == exported.contents[snapshot]
        assert exported.get("web", f"{token(snapshots[0])}\\deep\\locked") == b"for root only"
        # dated folders
        for snapshot in snapshots:
            assert exported.get("history", f"web\\by-date\\{snapshot}\\version") == exported.contents[snapshot]
        listed = exported.ask("history", "ls web\\*").stdout
        assert "by-date" in listed
        assert ".snapmirror" not in listed
        assert not isinstance(exported.get("history", "web\\.snapmirror\\record.json"), bytes)
        assert "snapmirror" not in exported.ask("history", "ls *").stdout
        view = folder_of(exported.scene) / "history"
        assert [one.name for one in view.iterdir() if one.is_file() and one.stat().st_size] == []
        # a link that leads out of the tree leads nowhere
        for path in ("leak", f"{token(snapshots[0])}\\leak"):
            assert not isinstance(exported.get("web", path), bytes), path
        assert not isinstance(exported.get("history", f"web\\by-date\\{snapshots[0]}\\leak"), bytes)
        nothing_can_be_written(exported, snapshots)
        nobody_else_gets_in(exported)
        refused = exported.scene.command("umount")
        assert refused.exit_code == 10, str(refused)
        assert PASSWORD not in "".join(_settings_and_logs())
    assert not answers(exported.port)
    assert exported.scene.command("export", "status").stdout == "the history is not served\n"


def test_no_way_leads_to_what_is_snapmirrors_own(exported: Exported) -> None:
    """A mirrored server holds links to it, by every spelling, and names it as its own; the store has other mirrors."""
    scene, source = exported.scene, exported.scene.source
    own = source / ".snapmirror"
    own.mkdir()
    (own / "of the source").write_text("a file of the source")
    folder = folder_of(scene)
    links = {
        "up": "../.snapmirror",
        "round": "../by-date/../.snapmirror",
        "twice": "up/../../.snapmirror",
        "other": "../../other/.snapmirror",
        "absolute": f"{scene.home}/.snapmirror",
        "view": f"{folder}/history/web/.snapmirror",
        "record": "../.snapmirror/record.json",
        "server": f"{folder}/private",
        "out": "../../../private",
        "found": "../../lost+found",
    }
    for name, target in links.items():
        (source / name).symlink_to(target)
    (source / "deep").mkdir()
    (source / "deep" / "down").symlink_to("../../.snapmirror/manifests")
    snapshot = exported.night()
    with open_store(load(scene.config)) as store:
        other = store.path / "other" / ".snapmirror"
        other.mkdir(parents=True)
        (other / "record.json").write_text("of another mirror, which is not configured any more")
        (store.path / "lost+found").mkdir(exist_ok=True)
        (store.path / "lost+found" / "piece").write_text("of a file")
    secrets = ("record.json", "manifests", "piece", "passdb", "0000001.zst")
    names = (*links, "deep\\down", "..\\.snapmirror", "up\\..\\.snapmirror", "deep\\..\\..\\.snapmirror")
    files = ("record.json", "piece", "passdb.tdb", f"manifests\\{snapshot}.zst", f"{snapshot}.zst", "")
    got = scene.scratch / "got"
    with exported.serving():
        for base in ("web\\backup.1", f"web\\by-date\\{snapshot}", ".", token(snapshot)):
            got.mkdir()
            paths = [f"{base}\\{name}\\{file}".rstrip("\\") for name in names for file in files]
            commands = [f'ls "{base}\\{name}\\*"' for name in names]
            commands += [f'get "{path}" "{got}/{number}"' for number, path in enumerate(paths)]
            asked = exported.ask("history" if base.startswith("web") else "web", "; ".join(commands))
            listed = [line for line in asked.stdout.splitlines() if line.startswith("  ")]
            assert not [line for line in listed if any(word in line for word in secrets)], str(asked)
            assert list(got.iterdir()) == [], [paths[int(file.name)] for file in got.iterdir()]
            got.rmdir()
        assert not isinstance(exported.get("history", "lost+found\\piece"), bytes)
        assert exported.get("web", ".snapmirror\\of the source") == b"a file of the source"
        # the store itself is as it was, for whoever is root
        assert (scene.home / ".snapmirror" / "record.json").is_file()
        assert scene.command("list").exit_code == 0


def folder_of(scene: Scene) -> Path:
    """Where everything of an export is while it is served."""
    return Path("/run/snapmirror") / f"export-{hashlib.sha256(os.fsencode(scene.store)).hexdigest()[:12]}"


@pytest.mark.parametrize(
    ("exported", "how"),
    [
        ("folder", "SIGTERM"), ("image", "pause"), ("image", "SIGKILL, then served again"),
        ("image", "SIGKILL, then a night"), ("folder", "SIGKILL, then a night"),
    ],
    indirect=["exported"],
)  # fmt: skip
def test_nothing_of_an_export_stays(exported: Exported, how: str) -> None:
    """Neither hashes of passwords, nor a log, nor the view; after a kill the next one, or a night, removes them."""
    scene = exported.scene
    folder = folder_of(scene)
    exported.night()
    serving = scene.start("export", "serve")
    exported.wait_until("on")
    assert (folder / "private" / "passdb.tdb").is_file()
    assert folder.stat().st_mode & 0o077 == 0
    if how == "pause":
        with open_store(load(scene.config)):
            assert not folder.exists()
    elif how != "SIGTERM":
        before = servers(folder)  # who has asked whether it serves may still be among them
        client = subprocess.Popen(
            ["smbclient", "--port", str(exported.port), f"--user={USER}%{PASSWORD}", "//127.0.0.1/web"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: set(servers(folder)) - set(before), "a client is served")
        os.kill(serving.pid, signal.SIGKILL)
        scene.finish(serving)
        assert folder.exists()
        if "night" in how:
            exported.night()
        else:
            serving = scene.start("export", "serve")
            exported.wait_until("on")
            assert exported.get("web", "same") == b"always the same\n"
        client.kill()
        client.wait()
    if serving.poll() is None:
        serving.send_signal(signal.SIGTERM)
        assert scene.finish(serving).exit_code == 143
    assert not folder.exists()
    assert servers(folder) == []
    assert scene.leftovers() == []


def servers(folder: Path) -> list[int]:
    """The processes of the smbd whose settings are in this folder: one for each client, and some more."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(word.startswith(f"--configfile={folder}/") for word in process.cmdline()):
                found.append(process.pid)
    return found


@pytest.mark.parametrize("exported", ["folder"], indirect=True)
def test_what_hides_things_in_the_view_does_not_hide_them_in_the_store(exported: Exported) -> None:
    """On most machines a mount appears wherever the folder below it is mounted as well."""
    exported.night()
    process = exported.scene.start("export", "serve", under=["unshare", "--mount", "--propagation", "shared"])
    exported.wait_until("on")
    mounts = Path(f"/proc/{process.pid}/mountinfo").read_text()
    process.send_signal(signal.SIGTERM)
    assert exported.scene.finish(process).exit_code == 143
    assert f" {folder_of(exported.scene)}/history/web/.snapmirror " in mounts
    assert f" {exported.scene.home}/.snapmirror " not in mounts


def nothing_can_be_written(exported: Exported, snapshots: list[str]) -> None:
    mine = exported.scene.scratch / "mine"
    mine.write_text("changed")
    before = [fingerprint(path) for path in exported.scene.slots().values()]
    assert before
    for share, place in (
        ("web", ""), ("web", f"{token(snapshots[0])}\\"), ("history", f"web\\by-date\\{snapshots[0]}\\"),
    ):  # fmt: skip
        for command in (f'put "{mine}" "{place}version"', f'put "{mine}" "{place}new"', f'del "{place}version"',
                        f'mkdir "{place}new"', f'rename "{place}version" "{place}other"', f'rmdir "{place}deep"',
                        f'setmode "{place}version" +r'):  # fmt: skip
            result = exported.ask(share, command)
            said = result.stdout + result.stderr
            assert "NT_STATUS_" in said, f"{share}: {command}: {said}"
            if command.startswith(("put", "del", "mkdir")) and not place.startswith("@"):
                assert "ACCESS_DENIED" in said or "MEDIA_WRITE_PROTECTED" in said, f"{share}: {command}: {said}"
    assert [fingerprint(path) for path in exported.scene.slots().values()] == before


def nobody_else_gets_in(exported: Exported) -> None:
    ls = "ls"
    assert "NT_STATUS_LOGON_FAILURE" in exported.ask("web", ls, login=f"{USER}%wrong password").stdout
    assert "NT_STATUS_LOGON_FAILURE" in exported.ask("web", ls, login=f"root%{PASSWORD}").stdout
    assert exported.ask("web", ls, "--no-pass", login="").exit_code == 1
    assert exported.ask("history", ls, "--client-protection=encrypt").exit_code == 0
    for option, said in (
        ("client smb3 encryption algorithms=none", "session setup failed: NT_STATUS_ACCESS_DENIED"),  # it knows none
        ("client max protocol=SMB3_02", "protocol negotiation failed"),
    ):
        refused = exported.ask("web", ls, f"--option={option}")
        assert (refused.exit_code, said in refused.stdout) == (1, True), f"{option}: {refused}"


def _settings_and_logs() -> Iterator[str]:
    for file in Path("/run/snapmirror").glob("export-*/*"):
        if file.is_file():
            yield file.read_text(errors="replace")
    yield subprocess.run(["ps", "-e", "--format", "args"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("exported", ["image"], indirect=True)
def test_snapshots_come_and_go_while_a_client_reads(exported: Exported) -> None:
    """What a client reads is what stands there, or it is told that it is gone; nights are not kept from their work."""
    for _ in range(3):
        exported.night()
    stop, wrong, right = threading.Event(), [], [0]

    def read() -> None:
        while not stop.is_set():
            for snapshot, content in list(exported.contents.items()):
                for share, path in (
                    ("web", f"{token(snapshot)}\\version"), ("history", f"web\\by-date\\{snapshot}\\version"),
                ):  # fmt: skip
                    got = exported.get(share, path)
                    if got == content:
                        right[0] += 1
                    elif isinstance(got, bytes) or not any(sign in got for sign in GONE):
                        wrong.append((snapshot, path, got[:300]))

    with exported.serving():
        reader = threading.Thread(target=read)
        reader.start()
        try:
            for _ in range(2):
                last = exported.night()
                exported.wait_until("on")
                assert tokens(exported, "version")[0] == token(last)
                assert len(tokens(exported, "version")) == 3
            killed = exported.scene.start("run")
            exported.wait_until("paused")
            os.killpg(killed.pid, signal.SIGKILL)
            exported.scene.finish(killed)
            exported.wait_until("on")
            assert exported.get("web", "version") == exported.contents[last]
        finally:
            stop.set()
            reader.join()
        again = exported.scene.command("export", "serve")
        assert again.exit_code == 10, str(again)
    assert wrong == []
    assert right[0] > 10
    expired = min(exported.contents)
    assert expired not in exported.scene.command("list").stdout


def test_what_is_refused(tmp_path: Path) -> None:
    made = Exported(tmp_path / "scene", image=False)
    made.night()
    with socket.create_server(("127.0.0.1", made.port)):
        taken = made.scene.command("export", "serve")
    assert (taken.exit_code, "another server listens" in taken.stderr) == (11, True)
    made.password.chmod(0o644)
    assert "can be read by others" in made.scene.command("export", "serve").stderr
    made.password.chmod(0o600)
    made.password.write_text("short\n")
    assert "does not hold a password" in made.scene.command("export", "serve").stderr
    assert made.scene.command("export", "serve", "--if-enabled").exit_code == 0, "it is not enabled"
    made.scene.sections = {}
    made.scene.configure()
    assert made.scene.command("export", "serve").exit_code == 2
    assert made.scene.leftovers() == []
    subprocess.run(["userdel", USER], check=False, stderr=subprocess.DEVNULL)
