"""The share's mount: what mount.cifs is given, what becomes of what it says, and what the kernel's tables tell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from snapmirror.errors import StorageError, UsageError
from snapmirror.tools import cifs, mount
from tests.support.sshd import free_port
from tests.support.storage import put_first_on_path

PLACE = cifs.Place("//winhost/backup/images", 4450)
RECORD = 'printf "%s\\n" "$@" > "$0.argv"; '
REFER = "echo 'Refer to the mount.cifs(8) manual page (e.g. man mount.cifs) and kernel log messages (dmesg)' >&2;"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    file = tmp_path / "smb.cred"
    file.write_text("username=backup\npassword=secret,word\n")
    file.chmod(0o600)
    return file


def test_the_options_that_promises_rest_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credentials: Path) -> None:
    program = put_first_on_path(tmp_path / "bin", "mount.cifs", RECORD, monkeypatch.setenv)
    cifs.mount(PLACE, tmp_path / "share", credentials)
    unc, target, flag, options = Path(f"{program}.argv").read_text().splitlines()
    assert (unc, target, flag) == ("//winhost/backup/images", str(tmp_path / "share"), "-o")
    words = options.split(",")
    assert {"vers=3.1.1", "seal", "hard", "nolease", "nosharesock", "port=4450"} <= set(words)
    assert f"credentials={credentials}" in words
    assert "secret" not in options
    assert not {"soft", "nobrl", "nostrictsync", "persistenthandles"} & set(words)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("mount error(13): Permission denied", "the server refuses the name or the password for //winhost/backup"),
        ("mount error(2): No such file or directory", "winhost has no share or folder //winhost/backup/images"),
        ("mount error(111): could not connect to 10.0.0.1Unable to find suitable address.", "does not answer"),
        ("mount error(113): could not connect to 10.0.0.1Unable to find suitable address.", "does not answer"),
        ("mount error(115): Operation now in progress", "does not answer"),
        ("mount error: Server abruptly closed the connection.\nmount error(112): Host is down", "does not answer"),
        ("mount error: could not resolve address for winhost: Unknown error", "winhost, is not known here"),
        ("mount error: cifs filesystem not supported by the system\nmount error(19): No such device", "has no cifs"),
        ("mount error(22): Invalid argument", r"cannot be mounted: mount error\(22\): Invalid argument"),
    ],
)
def test_what_mount_says_becomes_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credentials: Path, said: str, means: str
) -> None:
    script = f"echo '{said}' >&2; {REFER} exit 32"
    put_first_on_path(tmp_path / "bin", "mount.cifs", script, monkeypatch.setenv)
    with pytest.raises(StorageError, match=means) as caught:
        cifs.mount(PLACE, tmp_path / "share", credentials)
    assert caught.value.hint


def test_a_refusal_without_a_reason_asks_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credentials: Path
) -> None:
    script = "echo 'mount error(95): Operation not supported' >&2; exit 32"
    put_first_on_path(tmp_path / "bin", "mount.cifs", script, monkeypatch.setenv)
    nobody = cifs.Place("//127.0.0.1/backup", free_port())
    with pytest.raises(StorageError, match="does not answer"):
        cifs.mount(nobody, tmp_path / "share", credentials)


def test_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credentials: Path) -> None:
    monkeypatch.setattr(cifs, "PROGRAM", "mount.cifs-that-is-not-there")
    with pytest.raises(UsageError, match="is not installed"):
        cifs.mount(PLACE, tmp_path / "share", credentials)


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        ("username=a\npassword=b\n", 0o640, "can be read by others"),
        ("username=a\n", 0o600, "has no line password="),
        ("password=a\ndomain=d\n", 0o600, "has no line username="),
        (None, 0o600, "is missing"),
    ],
)
def test_credentials_that_would_not_do(tmp_path: Path, content: str | None, mode: int, says: str) -> None:
    file = tmp_path / "smb.cred"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(StorageError, match=says):
        cifs.check_credentials(file)


def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(line)
    monkeypatch.setattr(mount, "_MOUNTINFO", file)
    return tmp_path / "share"


def test_a_mount_is_looked_at_before_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = (
        f"9 1 0:9 / {tmp_path}/share rw,nodev - cifs //WinHost/backup/images rw,vers=3.1.1,nolease,seal,hard,port=1\n"
    )
    target = table(tmp_path, monkeypatch, line)
    cifs.check_mounted(PLACE, target)
    table(tmp_path, monkeypatch, line.replace(",hard", ",soft"))
    with pytest.raises(StorageError, match="without hard"):
        cifs.check_mounted(PLACE, target)
    table(tmp_path, monkeypatch, line.replace("images", "other"))
    with pytest.raises(StorageError, match=r"cifs \(//WinHost/backup/other\) is mounted there"):
        cifs.check_mounted(PLACE, target)
    table(tmp_path, monkeypatch, "")
    with pytest.raises(StorageError, match="nothing is mounted there"):
        cifs.check_mounted(PLACE, target)


def test_a_mount_point_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at a folder whose server is dead waits for it: umount does, unless it is told not to."""
    target = table(tmp_path, monkeypatch, f"9 1 0:9 / {tmp_path}/link rw - cifs //w/b rw\n").with_name("link")
    target.symlink_to(tmp_path / "elsewhere")
    assert mount.real_path(target) == target
    script = RECORD + f": > {tmp_path}/mountinfo"
    program = put_first_on_path(tmp_path / "bin", "umount", script, monkeypatch.setenv)
    mount.umount(target)
    assert Path(f"{program}.argv").read_text().splitlines() == ["--no-canonicalize", str(target)]


DEBUG_DATA = """\
Display Internal CIFS Data Structures for Debugging
Servers:
1) ConnectionId: 0x1 Hostname: 10.0.0.9
Number of credits: 8190 Dialect 0x302
	Shares:
	0) IPC: \\\\10.0.0.9\\IPC$ Mounts: 1 DevInfo: 0x0 Attributes: 0x0
	PathComponentMax: 0 Status: 1 type: 0 Serial Number: 0x0

	1) \\\\10.0.0.9\\backup Mounts: 1 DevInfo: 0x20 Attributes: 0x5006f
	PathComponentMax: 255 Status: 1 type: DISK Serial Number: 0xc654e9e

2) ConnectionId: 0x2 Hostname: winhost
Number of credits: 8190 Dialect 0x311 nosharesock
	Shares:
	0) IPC: \\\\winhost\\IPC$ Mounts: 1 DevInfo: 0x0 Attributes: 0x0
	PathComponentMax: 0 Status: 1 type: 0 Serial Number: 0x0 Encrypted
	1) \\\\winhost\\backup Mounts: 1 DevInfo: 0x20 Attributes: 0x5006f
	PathComponentMax: 255 Status: 1 type: DISK Serial Number: 0xc654e9e Encrypted
"""


def test_what_the_kernel_has_negotiated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "DebugData"
    file.write_text(DEBUG_DATA)
    monkeypatch.setattr(cifs, "_DEBUG_DATA", file)
    assert cifs.connection(PLACE) == cifs.Connection("3.1.1", encrypted=True)
    assert cifs.connection(cifs.Place("//10.0.0.9/backup", 445)) == cifs.Connection("3.0.2", encrypted=False)
    assert cifs.connection(cifs.Place("//10.0.0.9/other", 445)) is None
    file.unlink()
    assert cifs.connection(PLACE) is None


def test_what_a_sparse_file_takes_by_its_extents(tmp_path: Path) -> None:
    """Asked in more than one go: there are more extents than one answer holds. (Any disk's file system tells them.)"""
    file = tmp_path / "sparse"
    with file.open("wb") as opened:
        for number in range(600):
            opened.seek(number * (64 << 10))
            opened.write(b"x" * 4096)
        opened.truncate(1 << 30)
        os.fsync(opened.fileno())
    assert cifs.allocated_bytes(file) == 600 * 4096
    assert cifs.allocated_bytes(Path("/proc/self/status")) is None, "no such question there"


def test_credentials_that_a_windows_editor_has_saved(credentials: Path) -> None:
    """It was "has no line username=…", with that line before one's eyes."""
    credentials.write_bytes(b"\xef\xbb\xbf" + credentials.read_bytes())
    with pytest.raises(StorageError, match="byte order mark") as caught:
        cifs.check_credentials(credentials)
    subprocess.run(["sh", "-c", caught.value.hint.partition(": ")[2]], check=True)
    cifs.check_credentials(credentials)
