"""The doctor against real servers, real keys and real stores that are not as they should be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sshd import Sshd, free_port, rsync_daemon_running, sshd_running

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_running(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "one").write_text("1")
    (folder / "two").write_text("2")
    return folder


class Doctor:
    """A configuration and what the doctor says about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.store.mkdir()
        self.config = folder / "snapmirror.toml"

    def examine(self, source: str, *, programs: Path | None = None, **options: Any) -> tuple[int, list[dict[str, str]]]:
        store = {"path": str(self.store), "state_dir": str(self.folder / "state")}
        mirror = {"name": "web", "source": source, **options}
        self.config.write_text(
            "\n".join(["[store]", *lines(store), "[[mirror]]", *lines(mirror), "[mirror.guard]", 'min_free = "1M"'])
        )
        self.config.chmod(0o600)
        return self.run(programs)

    def run(self, programs: Path | None = None, *words: str) -> tuple[int, list[dict[str, str]]]:
        path = f"{programs}:{os.environ['PATH']}" if programs else os.environ["PATH"]
        done = subprocess.run(
            [sys.executable, "-m", "snapmirror", "--config", self.config, "doctor", "--json", *words],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path},
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        said = json.loads(done.stdout)
        assert said["exit_code"] == done.returncode
        for check in said["checks"]:
            assert bool(check["mend"]) == (check["level"] != "ok"), check
        return done.returncode, said["checks"]


def lines(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def said(checks: list[dict[str, str]], topic: str) -> dict[str, str]:
    """The first line on a topic, the worst one first."""
    found = [check for check in checks if check["topic"] == topic]
    return min(found, key=lambda check: ("fail", "warn", "ok").index(check["level"]))


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


def test_a_healthy_ssh_source(doctor: Doctor, server: Sshd, tree: Path) -> None:
    code, checks = doctor.examine(f"{server.login}:{tree}", **server.options())
    found = [check for check in checks if check["topic"] == "mirror web"]
    assert found[0]["level"] == "ok"
    assert "host key known, 2 entries" in found[0]["message"]
    assert found[1] == {
        "level": "warn", "topic": "mirror web", "message": "there is no snapshot yet", "mend": "snapmirror run web",
    }  # fmt: skip
    assert code == 3


def test_an_unknown_host_key_is_told_apart_from_a_changed_one(doctor: Doctor, server: Sshd, tree: Path) -> None:
    known = server.known_hosts.read_text()
    server.known_hosts.write_text("")
    code, checks = doctor.examine(f"{server.login}:{tree}", **server.options())
    assert code == 12
    assert "host key is not known" in said(checks, "mirror web")["message"]
    mend = said(checks, "mirror web")["mend"]
    assert f"ssh-keyscan -p {server.port} 127.0.0.1 >> {server.known_hosts}" in mend

    server.known_hosts.write_text(known)
    server.new_host_key()
    code, checks = doctor.examine(f"{server.login}:{tree}", **server.options())
    assert code == 12
    assert "host key has changed" in said(checks, "mirror web")["message"]
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in said(checks, "mirror web")["mend"]


def test_what_the_doctor_proposes_mends_an_unknown_host_key(doctor: Doctor, server: Sshd, tree: Path) -> None:
    server.known_hosts.write_text("")
    _, checks = doctor.examine(f"{server.login}:{tree}", **server.options())
    command = said(checks, "mirror web")["mend"].partition("keep it: ")[2]
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    _, checks = doctor.examine(f"{server.login}:{tree}", **server.options())
    assert any("host key known" in check["message"] for check in checks), checks


def test_a_refused_login(doctor: Doctor, server: Sshd, tree: Path) -> None:
    server.authorized_keys.write_text("")
    code, checks = doctor.examine(f"{server.login}:{tree}", **server.options())
    assert code == 12
    assert "refuses the login" in said(checks, "mirror web")["message"]


def test_an_unreachable_server_and_a_missing_folder(doctor: Doctor, server: Sshd, tree: Path) -> None:
    code, checks = doctor.examine(f"{server.login}:{tree}", **{**server.options(), "port": free_port()})
    assert (code, "does not answer" in said(checks, "mirror web")["message"]) == (12, True)
    code, checks = doctor.examine(f"{server.login}:{tree}/missing", **server.options())
    assert (code, "no such folder" in said(checks, "mirror web")["message"]) == (12, True)
    code, checks = doctor.examine(f"{server.login}:{tree}", rsync_path="/nowhere/rsync", **server.options())
    assert (code, "no rsync on the server" in said(checks, "mirror web")["message"]) == (12, True)


def test_a_restricted_key_is_enough(doctor: Doctor, server: Sshd, tree: Path) -> None:
    key = server.restrict(f"rrsync -ro {tree}")
    _, checks = doctor.examine(f"{server.login}:/", **{**server.options(), "identity": str(key)})
    assert "2 entries" in checks[[c["topic"] for c in checks].index("mirror web")]["message"], checks


def test_a_daemon_and_its_password(doctor: Doctor, tmp_path: Path, tree: Path) -> None:
    password = tmp_path / "password"
    password.write_text("right\n")
    password.chmod(0o600)
    with rsync_daemon_running(tmp_path / "daemon", tree, password="right") as port:
        source = f"rsync://backup@127.0.0.1:{port}/data"
        _, checks = doctor.examine(source, password_file=str(password))
        assert any("reachable, 2 entries" in check["message"] for check in checks), checks
        password.write_text("wrong\n")
        code, checks = doctor.examine(source, password_file=str(password))
        assert (code, "refuses the login" in said(checks, "mirror web")["message"]) == (12, True)
        password.chmod(0o644)
        code, checks = doctor.examine(source, password_file=str(password))
        assert (code, said(checks, "mirror web")["mend"]) == (2, f"chmod 600 {password}")
        code, checks = doctor.examine(f"rsync://127.0.0.1:{port}/nothing")
        assert (code, "no such folder" in said(checks, "mirror web")["message"]) == (12, True)


def test_an_empty_source_is_a_warning(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, checks = doctor.examine(str(tmp_path / "empty"))
    assert (code, "is empty" in said(checks, "mirror web")["message"]) == (3, True)


def test_an_old_rsync(doctor: Doctor, tree: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = programs / "rsync"
    for version, level, exit_code in (
        ("3.1.3", "fail", 2),
        ("3.4.1", "warn", 3),
        ("3.4.3", "warn", 3),
        ("3.5.0", "ok", 3),
    ):
        fake.write_text(
            f'#!/bin/sh\ncase "$1" in --version) echo "rsync  version {version}  protocol version 31";;\n'
            '*) exec /usr/bin/rsync "$@";; esac\n'
        )
        fake.chmod(0o755)
        code, checks = doctor.examine(str(tree), programs=programs)
        assert (said(checks, "rsync")["level"], code) == (level, exit_code), version


def test_a_wrong_configuration_is_all_told(doctor: Doctor) -> None:
    doctor.config.write_text('[store]\npth = "/x"\n')
    code, checks = doctor.run()
    assert code == 2
    assert len([check for check in checks if check["topic"] == "configuration"]) == 3


def test_a_configuration_that_others_can_write(doctor: Doctor, tree: Path) -> None:
    doctor.examine(str(tree))
    doctor.config.chmod(0o666)
    _, checks = doctor.run()
    assert said(checks, "configuration")["mend"] == f"chmod go-w {doctor.config}"


def test_a_failed_night_and_the_last_good_one(doctor: Doctor, tree: Path) -> None:
    night = [sys.executable, "-m", "snapmirror", "--config", str(doctor.config), "--quiet", "run"]
    doctor.examine(str(tree))
    tree.rename(tree.with_name("away"))
    assert subprocess.run(night, check=False, cwd=ROOT).returncode == 12
    for good in ("none has succeeded yet", "the last success is from less than an hour ago"):
        found = [check["message"] for check in doctor.run()[1] if "the last run" in check["message"]]
        assert len(found) == 1
        assert "the last run, less than an hour ago, failed: listing " in found[0]
        assert found[0].endswith(good)
        tree.with_name("away").rename(tree)
        assert subprocess.run(night, check=False, cwd=ROOT).returncode == 0
        tree.rename(tree.with_name("away"))
        assert subprocess.run(night, check=False, cwd=ROOT).returncode == 12


def test_a_missing_store(doctor: Doctor, tree: Path) -> None:
    doctor.store.rmdir()
    code, checks = doctor.examine(str(tree))
    assert (code, "is missing" in said(checks, "store")["message"]) == (11, True)


def image_config(doctor: Doctor, tree: Path, **image: Any) -> None:
    store = {"path": str(doctor.store), "state_dir": str(doctor.folder / "state")}
    table = {"file": str(doctor.folder / "x.img"), "size": "512M", **image}
    mirror = {"name": "web", "source": str(tree)}
    doctor.config.write_text(
        "\n".join(["[store]", *lines(store), "[image]", *lines(table), "[[mirror]]", *lines(mirror), "[mirror.guard]"])
        + '\nmin_free = "1M"\n'
    )
    doctor.config.chmod(0o600)


def initialise(doctor: Doctor) -> None:
    argv = [sys.executable, "-m", "snapmirror", "--config", str(doctor.config), "init"]
    subprocess.run(argv, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)


def test_a_disk_for_copies_that_is_missing(doctor: Doctor, tree: Path) -> None:
    image_config(doctor, tree, encryption="none")
    disk, config = doctor.folder / "usb", doctor.config.read_text()
    doctor.config.write_text(f'{config}[copy]\ndestination = "{disk}"\n')
    assert [check for check in doctor.run()[1] if check["topic"] == "copy"] == [], "it is there when it is needed"
    doctor.config.write_text(f'{config}[copy]\ndestination = "{disk}"\nafter_night = true\n')
    assert said(doctor.run()[1], "copy")["level"] == "warn"
    disk.mkdir()
    assert said(doctor.run()[1], "copy")["level"] == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_an_image_in_memory(doctor: Doctor, tree: Path) -> None:
    memory = doctor.folder / "memory"
    memory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1G", "memory", memory], check=True)
    try:
        image_config(doctor, tree, file=str(memory / "x.img"), encryption="none")
        initialise(doctor)
        found = said(doctor.run()[1], "image")
        assert (found["level"], found["mend"]) == ("warn", "keep it on a disk or a share")
        assert "is in memory (tmpfs)" in found["message"]
    finally:
        subprocess.run(["umount", memory], check=True)


def test_an_image_from_missing_to_truncated(doctor: Doctor, tree: Path) -> None:
    key, header = doctor.folder / "key", doctor.folder / "header"
    key.write_text("correct horse battery staple")
    key.chmod(0o600)
    image_config(doctor, tree, encryption="luks1", key_file=str(key), header_backup=str(header))
    code, checks = doctor.run()
    assert (code, said(checks, "image")["mend"]) == (11, "'snapmirror init' makes it")

    initialise(doctor)
    code, checks = doctor.run()
    assert said(checks, "key")["message"].endswith("opens the image"), checks
    assert {said(checks, topic)["level"] for topic in ("image", "key", "header", "encryption")} == {"ok"}

    key.chmod(0o644)
    assert said(doctor.run()[1], "key")["mend"] == f"chmod 600 {key}"
    key.chmod(0o600)
    key.write_text("wrong")
    code, checks = doctor.run()
    assert (code, "does not open" in said(checks, "key")["message"]) == (11, True)
    key.unlink()
    code, checks = doctor.run()
    assert (code, "is missing" in said(checks, "key")["message"]) == (11, True)
    key.write_text("correct horse battery staple")
    key.chmod(0o600)
    header.unlink()
    assert "luksHeaderBackup" in said(doctor.run()[1], "header")["mend"]
    os.truncate(doctor.folder / "x.img", 100 << 20)
    code, checks = doctor.run()
    assert (code, "truncated" in said(checks, "image")["message"]) == (11, True)


def test_storage_is_proved_on_request(doctor: Doctor, tree: Path) -> None:
    doctor.examine(str(tree))
    code, checks = doctor.run(None, "--storage")
    assert said(checks, "storage")["level"] == "ok"
    assert code == 3  # no snapshot yet
    assert [path.name for path in doctor.store.iterdir()] == [".snapmirror.lock"]
