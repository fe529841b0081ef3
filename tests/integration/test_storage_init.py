"""Making stores: what is made, what is refused, and what a failed or killed init leaves."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from snapmirror.doctor import store
from snapmirror.errors import ExitCode, StorageError
from snapmirror.storage import encryption, image
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from snapmirror.tools import loop, luks, mount
from tests.support.storage import STACKS, TINY, Scene, put_first_on_path, released

Make = Callable[..., Scene]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:

        def made(encryption: str = "none", filesystem: str = "xfs", size: str = "512M") -> Scene:
            return stack.enter_context(released(Scene(tmp_path / "scene", encryption, filesystem, size)))

        yield made


def contents(scene: Scene) -> list[str]:
    """What there is besides the key."""
    return sorted(path.name for path in scene.folder.iterdir() if path != scene.key_file)


def refused(scene: Scene, *, because: str) -> StorageError:
    """init says no, and changes nothing."""
    before = contents(scene)
    with pytest.raises(StorageError, match=because) as caught:
        initialise(scene.config, workload=TINY)
    assert contents(scene) == before
    assert scene.standing() == []
    return caught.value


def test_on_a_share_the_header_is_written_through_a_loop_device(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """cryptsetup locks a file that it writes to, and the server would hold that lock against cryptsetup itself."""
    scene = make("luks1")
    record = image.new_record(scene.image_config)
    image.create(scene.image, record)
    table = scene.folder.with_name("mountinfo")
    table.write_text(f"1 0 0:1 / / rw - ext4 /dev/a rw\n9 1 0:9 / {scene.folder} rw - cifs //winhost/b rw\n")
    monkeypatch.setattr(mount, "_MOUNTINFO", table)
    log = scene.folder.with_name("cryptsetup.log")
    real = shutil.which("cryptsetup", path=f"{os.environ['PATH']}:/usr/sbin")
    script = f'echo "$*" >> {log}; exec {real} "$@"'
    put_first_on_path(scene.folder.with_name("bin"), "cryptsetup", script, monkeypatch.setenv)
    encryption.encrypt(scene.image, record, scene.key_file.read_bytes(), scene.header_backup)
    formatted = next(line for line in log.read_text().splitlines() if "luksFormat" in line)
    assert formatted.split()[-1].startswith("/dev/loop")
    assert luks.header_uuid(scene.image, version=1) == record.id
    assert luks.header_uuid(scene.header_backup, version=1) == record.id
    assert loop.attached_to(scene.image) == ()


# --- made -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encryption", "filesystem"), STACKS)
def test_150_gigabytes_take_little(make: Make, encryption: str, filesystem: str) -> None:
    scene = make(encryption, filesystem, "150G")
    told: list[str] = []
    report = initialise(scene.config, told.append, TINY)
    assert scene.image.stat().st_size == 150 << 30
    assert scene.image.stat().st_blocks * 512 < 120 << 20  # most of it the log of the XFS
    assert report.taken_bytes < 120 << 20
    assert report.selftest.remounted
    assert report.selftest.files > 200
    assert len(told) == (2 if encryption == "none" else 3)
    assert stat.S_IMODE(scene.image.stat().st_mode) == 0o600
    record = json.loads(scene.record.read_text())
    assert record["ready"] is True
    assert (record["version"], record["size"]) == (1, 150 << 30)
    assert (record["filesystem"], record["encryption"]) == (filesystem, encryption)
    if encryption != "none":
        assert stat.S_IMODE(scene.header_backup.stat().st_mode) == 0o600
        assert luks.header_uuid(scene.header_backup) == luks.header_uuid(scene.image) == record["id"]
        assert luks.key_fits(scene.image, scene.key_file.read_bytes())
        assert not luks.key_fits(scene.image, b"something else")
    with open_store(scene.config) as store:
        assert [path.name for path in store.path.iterdir() if path.name != "lost+found"] == []


@pytest.mark.parametrize(("encryption", "filesystem"), STACKS)
def test_what_the_self_test_wrote_takes_no_space_afterwards(make: Make, encryption: str, filesystem: str) -> None:
    scene = make(encryption, filesystem)
    report = initialise(scene.config, workload=replace(TINY, big_files=4, big_bytes=16 << 20))
    assert report.selftest.bytes > 64 << 20
    assert scene.image.stat().st_blocks * 512 < report.taken_bytes + (16 << 20)


@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_a_plain_image_opens_with_stock_tools(make: Make, tmp_path: Path, filesystem: str) -> None:
    scene, target = make("none", filesystem), tmp_path / "mnt"
    initialise(scene.config, workload=TINY)
    with open_store(scene.config) as store:
        (store.path / "file").write_text("text")
    target.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", scene.image, target], check=True)
    try:
        assert (target / "file").read_text() == "text"
    finally:
        subprocess.run(["umount", target], check=True)


def test_an_encrypted_image_opens_with_stock_tools(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """cryptsetup with the key file as it is; QEMU's own reading of it, decrypted, shows the file system."""
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])  # not the cryptsetup of conftest: the real one
    scene = make("luks1")
    initialise(scene.config, workload=TINY)
    key = ["cryptsetup", "open", "--test-passphrase", "--type", "luks1", "--key-file"]
    subprocess.run([*key, scene.key_file, scene.image], check=True)
    dump = subprocess.run(["cryptsetup", "luksDump", scene.image], check=True, capture_output=True, text=True).stdout
    assert "xts-plain64" in dump
    assert re.search(r"\tIterations: +\t1000000\n", dump)
    raw = scene.folder / "raw"
    options = f"driver=luks,key-secret=key,file.filename={scene.image}"
    secret = f"secret,id=key,file={scene.key_file}"
    subprocess.run(["qemu-img", "convert", "--object", secret, "--image-opts", options, "-O", "raw", raw], check=True)
    blkid = subprocess.run(
        ["blkid", "-p", "-o", "value", "-s", "UUID", raw], check=True, capture_output=True, text=True
    )
    assert blkid.stdout.strip() == json.loads(scene.record.read_text())["id"]
    subprocess.run(["xfs_repair", "-n", raw], check=True, capture_output=True)


def test_luks2_opens_where_the_kernel_can_and_says_what_to_do_where_it_cannot(make: Make) -> None:
    scene = make("luks2")
    if luks.kernel_has_dm_crypt():
        report = initialise(scene.config, workload=TINY)
        assert report.how == "dm-crypt"
        with open_store(scene.config) as store:
            assert store.trim() is not None
    else:
        error = refused(scene, because="luks2 needs dm-crypt")
        assert "luks1" in error.hint
        assert "qemu-storage-daemon" in error.hint


def test_a_lost_header_comes_back_from_its_copy(make: Make) -> None:
    scene = make("luks1")
    initialise(scene.config, workload=TINY)
    with scene.image.open("r+b") as file:
        file.write(bytes(1 << 20))
    with pytest.raises(StorageError, match="does not carry the luks1 header") as caught, open_store(scene.config):
        pass
    assert "luksHeaderRestore" in caught.value.hint
    restore = ["cryptsetup", "--batch-mode", "luksHeaderRestore"]
    subprocess.run([*restore, scene.image, "--header-backup-file", scene.header_backup], check=True)
    with open_store(scene.config):
        pass


def test_the_disk_is_smaller_than_the_image_may_grow(make: Make) -> None:
    report = initialise(make(size="3T").config, workload=TINY)
    [warning] = report.warnings
    assert "may grow to 3.0 TiB" in warning


def test_a_size_that_stays_free(make: Make) -> None:
    """min_free is 1 GiB, if nothing is said: a night would end with 11 as long as there is such an image."""
    report = initialise(make(size="512M").config, workload=TINY)
    assert [one.partition(",")[0] for one in report.warnings] == ["no night has room in an image of 512.0 MiB"]


def test_a_size_hardly_larger_than_what_stays_free(make: Make) -> None:
    """The file system keeps a part for itself; what is left is less than min_free. doctor sees it before a night."""
    scene = make(size="1100M")
    [warning] = initialise(scene.config, workload=TINY).warnings
    assert warning.startswith("no night has room in an image of 1.1 GiB, as 1.0 GiB stay free (min_free)")
    [check] = [one for one in store.examine(scene.config) if one.topic == "room"]
    assert (check.level, check.code) == ("fail", ExitCode.STORAGE)
    assert "no night has room in the image: it is of 1.1 GiB" in check.message


def test_a_size_that_the_disk_cannot_have(make: Make) -> None:
    refused(make(size="8000000T"), because="cannot be made")


def test_a_plain_folder_is_made_and_proved(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    config = scene.config.model_copy(update={"image": None})
    report = initialise(config, workload=TINY)
    assert (report.image, report.how, report.selftest.remounted) == (None, "none", False)
    assert list(scene.store.iterdir()) == []
    initialise(config, workload=TINY)  # still empty: fine
    (scene.store / "file").touch()
    with pytest.raises(StorageError, match="is not empty: it holds 'file'"):
        initialise(config, workload=TINY)
    assert (scene.store / "file").exists()


# --- refused ----------------------------------------------------------------------------------------------------------


def test_it_leaves_alone_what_it_did_not_make(make: Make) -> None:
    scene = make("luks1")
    scene.image.write_text("precious")
    refused(scene, because="exists already, and snapmirror did not make it")
    assert scene.image.read_text() == "precious"
    scene.image.unlink()
    scene.header_backup.write_text("precious")
    refused(scene, because="exists already")
    assert scene.header_backup.read_text() == "precious"
    scene.header_backup.unlink()
    scene.image.symlink_to("nowhere")
    refused(scene, because="exists already")


def test_a_ready_image_is_not_made_again(make: Make) -> None:
    scene = make()
    initialise(scene.config, workload=TINY)
    refused(scene, because="is ready already")


def test_a_folder_that_is_in_use(make: Make) -> None:
    scene = make()
    scene.store.mkdir()
    (scene.store / "file").write_text("precious")
    refused(scene, because="is not empty: it holds 'file'")
    (scene.store / "file").unlink()
    subprocess.run(["mount", "-t", "tmpfs", "elsewhere", scene.store], check=True)
    try:
        with pytest.raises(StorageError, match="is a mount point already"):
            initialise(scene.config, workload=TINY)
    finally:
        subprocess.run(["umount", scene.store], check=True)


def test_a_folder_that_is_missing(make: Make) -> None:
    scene = make("luks1")
    scene.extra = {"header_backup": str(scene.folder / "missing/header")}
    refused(scene, because=r"missing is missing")
    scene.extra = {"file": str(scene.folder / "missing/store.img")}
    refused(scene, because=r"missing is missing")


@pytest.mark.parametrize("key", [b"\xff\xfe", b"nul\0inside"])
def test_a_key_that_would_not_work_everywhere(make: Make, key: bytes) -> None:
    scene = make("luks1")
    scene.key_file.write_bytes(key)
    assert "openssl" in refused(scene, because="must be text").hint


def test_a_key_that_others_can_read_is_said(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    scene = make("luks1")
    scene.key_file.chmod(0o644)
    initialise(scene.config, workload=TINY)
    assert caplog.text.count("can be read by others") == 1


# --- failed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encryption", ["none", "luks1"])
@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("mkfs.xfs", "no file system can be made"),
        ("losetup", "cannot be attached"),
        ("mount", "cannot be mounted"),
        ("xfs_repair", "is damaged"),
    ],
)
def test_a_failed_init_removes_what_it_made(
    make: Make, monkeypatch: pytest.MonkeyPatch, encryption: str, program: str, says: str
) -> None:
    scene = make(encryption)
    real = subprocess.run(["which", program], check=True, capture_output=True, text=True).stdout.strip()
    let_pass = f'case "$1" in --list|--detach) exec {real} "$@";; esac\n' if program == "losetup" else ""
    with monkeypatch.context() as patch:
        put_first_on_path(scene.folder / "bin", program, f"{let_pass}echo no luck today >&2; exit 1", patch.setenv)
        with pytest.raises(StorageError, match=says):
            initialise(scene.config, workload=TINY)
    assert contents(scene) == ["bin"]
    assert scene.standing() == []


def test_a_disk_that_fails_under_init_is_a_sentence(make: Make) -> None:
    scene = make()

    def fails(_: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/x")

    with pytest.raises(StorageError, match="failed at '/x': Input/output error"):
        initialise(scene.config, fails, TINY)
    assert contents(scene) == []
    assert scene.standing() == []


def test_a_header_that_cannot_be_copied_fails_the_init(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make("luks1")
    script = 'case "$1" in luksHeaderBackup) touch "$4"; echo disk full >&2; exit 1;; esac; exec /sbin/cryptsetup "$@"'
    with monkeypatch.context() as patch:
        put_first_on_path(scene.folder / "bin", "cryptsetup", script, patch.setenv)
        with pytest.raises(StorageError, match="disk full"):
            initialise(scene.config, workload=TINY)
    assert contents(scene) == ["bin"]


@pytest.mark.parametrize(
    ("encryption", "program"), [("none", "losetup"), ("none", "mount"), ("luks1", "mkfs.xfs"), ("luks1", "xfs_repair")]
)
def test_a_killed_init_is_started_over(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encryption: str, program: str
) -> None:
    scene = make(encryption)
    real = subprocess.run(["which", program], check=True, capture_output=True, text=True).stdout.strip()
    let_pass = f'case "$1" in --list|--detach) exec {real} "$@";; esac\n' if program == "losetup" else ""
    with monkeypatch.context() as patch:  # does its work, then kills init before it can learn of it
        script = f'{let_pass}{real} "$@"; kill -KILL $SNAPMIRROR_INIT_PID'
        put_first_on_path(tmp_path / "bin", program, script, patch.setenv)
        code = (
            "import os; os.environ['SNAPMIRROR_INIT_PID'] = str(os.getpid())\n"
            "from pathlib import Path\n"
            "from tests.support.storage import TINY, Scene\n"
            "from snapmirror.storage.initialise import initialise\n"
            f"initialise(Scene(Path({str(scene.folder)!r}), {encryption!r}).config, workload=TINY)\n"
        )
        root = Path(__file__).resolve().parents[2]
        killed = subprocess.run([sys.executable, "-c", code], cwd=root, check=False)
    assert killed.returncode == -9
    with pytest.raises(StorageError, match="was never finished") as caught, open_store(scene.config):
        pass
    assert "init" in caught.value.hint
    told: list[str] = []
    initialise(scene.config, told.append, TINY)
    assert "was stopped; starting over" in told[0]
    with open_store(scene.config):
        pass


def test_an_init_that_was_killed_at_its_first_step_is_started_over(make: Make) -> None:
    scene = make()
    scene.record.touch()
    initialise(scene.config, workload=TINY)


def test_a_killed_init_of_another_store_keeps_its_header(make: Make) -> None:
    """What stands at the place of the header's copy but is not this image's is not ours to remove."""
    scene = make("luks1")
    initialise(scene.config, workload=TINY)
    record = json.loads(scene.record.read_text())
    scene.record.write_text(json.dumps(record | {"ready": False, "id": "11111111-2222-3333-4444-555555555555"}))
    with pytest.raises(StorageError, match="header exists already"):
        initialise(scene.config, workload=TINY)
    assert scene.header_backup.exists()


def test_without_root_it_says_so(make: Make) -> None:
    scene = make()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setuid(65534)
            initialise(scene.config, workload=TINY)
        except StorageError as error:
            code = 0 if "needs root" in error.message else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_too_little_room_for_the_test_is_said(make: Make) -> None:
    scene = make()
    with pytest.raises(StorageError, match="too little room"):
        initialise(scene.config, workload=replace(TINY, big_files=1000, big_bytes=1 << 30))
    assert contents(scene) == []
