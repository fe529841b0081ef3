"""Stores in real images, opened and closed: what a night meets, good and bad."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from snapmirror import interrupts
from snapmirror.errors import Interrupted, StorageError, StuckError
from snapmirror.model import NOTICE
from snapmirror.process import ProgramFailed
from snapmirror.storage.encryption import Places, choose
from snapmirror.storage.open_store import mount_for_browsing, open_store, umount_store
from snapmirror.tools import filesystems, loop, mount, qsd
from tests.support.full import leave, small_volume
from tests.support.storage import (
    FEW_STACKS,
    KEY,
    STACKS,
    Scene,
    Templates,
    copy_image,
    hide_dm_crypt,
    holding_process,
    put_first_on_path,
    released,
)

Make = Callable[..., Scene]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture
def make(templates: Templates, tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:

        def made(encryption: str = "none", filesystem: str = "xfs", name: str = "scene") -> Scene:
            return stack.enter_context(released(templates.copy(tmp_path / name, encryption, filesystem)))

        yield made


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is about stores on qemu-storage-daemon, whatever the kernel can do."""
    hide_dm_crypt(tmp_path / "bin", monkeypatch.setenv)


def refusal(scene: Scene) -> StorageError:
    """The error that opening gives."""
    with pytest.raises(StorageError) as caught, open_store(scene.config):
        pass
    assert type(caught.value) is StorageError
    assert caught.value.hint
    return caught.value


def sentence(scene: Scene) -> StorageError:
    """The same; whatever it is, nothing stands afterwards."""
    error = refusal(scene)
    assert scene.standing() == []
    return error


# --- opened and closed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encryption", "filesystem"), STACKS)
def test_what_is_written_is_there_the_next_time(make: Make, encryption: str, filesystem: str) -> None:
    scene = make(encryption, filesystem)
    with open_store(scene.config) as store:
        assert store.path == scene.store
        assert store.free_bytes() > 300 << 20
        assert (store.free_inodes() or 0) > 1000
        assert (store.backing_free_bytes() or 0) > 0
        before = store.counters()
        (store.path / "file").write_bytes(os.urandom(1 << 20))
        store.flush()
        after = store.counters()
        assert before is not None
        assert after is not None
        assert after.written - before.written >= 1 << 20
        found = mount.mount_at(scene.store)
        assert found is not None
        assert (found.filesystem, found.read_only) == (filesystem, False)
        daemon = choose(encryption) == "qemu-storage-daemon"
        [device] = loop.attached_to(Places(scene.image).export if daemon else scene.image)
        assert device.name == store.device
        assert device.direct_io is not daemon, "direct I/O over QEMU's export corrupts"
    assert scene.standing() == []
    with open_store(scene.config, read_only=True) as store:
        assert (store.path / "file").stat().st_size == 1 << 20
        with pytest.raises(OSError, match="Read-only"):
            (store.path / "other").touch()


def test_a_failing_disk_is_a_sentence_and_other_errors_stay_what_they_are(make: Make) -> None:
    scene = make()
    with pytest.raises(StorageError, match=r"failed at '/x': No space left"), open_store(scene.config):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x")
    with pytest.raises(FileNotFoundError), open_store(scene.config) as store:
        (store.path / "missing").read_bytes()


@pytest.mark.parametrize(("encryption", "filesystem"), FEW_STACKS)
def test_an_error_inside_closes_the_store_and_stays_the_error(make: Make, encryption: str, filesystem: str) -> None:
    scene = make(encryption, filesystem)
    with pytest.raises(ZeroDivisionError), open_store(scene.config):
        _ = 1 / 0
    assert scene.standing() == []


@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_trim_gives_the_space_of_removed_files_back(make: Make, filesystem: str) -> None:
    scene = make("none", filesystem)
    with open_store(scene.config) as store:
        (store.path / "file").write_bytes(os.urandom(64 << 20))
        store.flush()
        full = store.allocated_bytes() or 0
        (store.path / "file").unlink()
        store.flush()
        assert store.trim()
        assert (store.allocated_bytes() or 0) < full - (60 << 20)


@pytest.mark.usefixtures("daemon")
def test_trim_says_so_where_the_stack_cannot(make: Make) -> None:
    with open_store(make("luks1").config) as store:
        assert store.trim() is None


def test_set_id_bits_and_devices_are_kept_but_inert(make: Make) -> None:
    scene = make()
    with open_store(scene.config) as store:
        os.mknod(store.path / "null", 0o020666, os.makedev(1, 3))
        with pytest.raises(PermissionError):
            (store.path / "null").read_bytes()
        shutil.copy("/bin/true", store.path / "true")
        with pytest.raises(PermissionError):
            subprocess.run([store.path / "true"], check=True)


def test_a_plain_folder_needs_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    config = scene.config.model_copy(update={"image": None})
    with pytest.raises(StorageError, match="is missing"), open_store(config):
        pass
    scene.store.mkdir()
    with open_store(config) as store:
        assert store.device is None
        assert store.backing_free_bytes() is None
        assert store.trim() is None
        assert store.counters() is None
        assert store.free_bytes() > 0
        store.flush()
    assert mount_for_browsing(config) is False
    assert umount_store(config) is False


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_wrong_key_is_named_as_that(make: Make) -> None:
    scene = make("luks1")
    scene.key_file.write_bytes(b"wrong")
    assert "the key does not open" in sentence(scene).message


@pytest.mark.usefixtures("daemon")
def test_a_key_that_is_no_text_is_refused_with_its_reason(make: Make) -> None:
    scene = make("luks1")
    scene.key_file.write_bytes(b"\xff\xfe\x00")
    assert "is not text" in sentence(scene).message


def test_a_missing_and_an_empty_key(make: Make) -> None:
    scene = make("luks1")
    scene.key_file.write_bytes(b"")
    assert "is empty" in sentence(scene).message
    scene.key_file.unlink()
    assert "is missing" in sentence(scene).message


def test_a_key_command_opens_the_store(make: Make) -> None:
    scene = make("luks1")
    scene.extra = {"key_file": None, "key_command": ["sh", "-c", f"cat {scene.key_file}; echo"]}
    with open_store(scene.config):
        pass
    scene.extra["key_command"] = ["sh", "-c", "echo the vault is sealed >&2; exit 3"]
    assert "the vault is sealed" in sentence(scene).message


@pytest.mark.usefixtures("daemon")
def test_the_key_is_never_seen(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    scene = make("luks1")
    secret = scene.key_file.read_bytes().strip()
    with open_store(scene.config):
        [process] = qsd.daemons(Places(scene.image).export)
        proc = Path("/proc", str(process.pid))
        assert secret not in (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
    assert secret.decode() not in caplog.text
    assert "losetup" in caplog.text


# --- bad images -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encryption", ["none", "luks1"])
def test_a_truncated_image_is_never_attached(make: Make, encryption: str) -> None:
    scene = make(encryption)
    os.truncate(scene.image, 100 << 20)
    assert "is truncated" in sentence(scene).message


def test_a_grown_image(make: Make) -> None:
    scene = make()
    os.truncate(scene.image, 1 << 30)
    assert "has grown" in sentence(scene).message


def test_a_missing_image_and_a_missing_record(make: Make) -> None:
    scene = make()
    kept = scene.record.rename(scene.folder / "kept")
    assert "was not made by snapmirror" in sentence(scene).message
    scene.image.unlink()
    assert "is missing" in sentence(scene).message
    kept.rename(scene.record)
    assert "is missing" in sentence(scene).message


@pytest.mark.parametrize("encryption", ["none", "luks1"])
def test_another_image_in_its_place(make: Make, encryption: str) -> None:
    scene = make(encryption)
    record = json.loads(scene.record.read_text())
    scene.record.write_text(json.dumps(record | {"id": "11111111-2222-3333-4444-555555555555"}))
    assert "that was made" in sentence(scene).message


def test_an_image_overwritten_with_nothing(make: Make) -> None:
    scene = make()
    os.truncate(scene.image, 0)
    os.truncate(scene.image, 512 << 20)
    assert "nothing known" in sentence(scene).message


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "not json", '{"version": 1}', '{"version": 1, "id": 1}'])
def test_a_damaged_record(make: Make, text: str) -> None:
    scene = make()
    scene.record.write_text(text)
    assert "is damaged" in sentence(scene).message


def test_a_record_of_a_later_version(make: Make) -> None:
    scene = make()
    scene.record.write_text(json.dumps(json.loads(scene.record.read_text()) | {"version": 9, "new": True}))
    assert "has version 9" in sentence(scene).message


def test_a_configuration_that_says_something_else(make: Make) -> None:
    scene = make("none", "xfs")
    scene.filesystem = "ext4"
    assert "was made with filesystem = xfs" in sentence(scene).message
    scene.filesystem, scene.encryption = "xfs", "luks1"
    scene.key_file.write_bytes(b"x")
    assert "was made with encryption = none" in sentence(scene).message


def test_another_size_in_the_configuration_is_said_but_no_failure(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    scene = make()
    scene.size = "700M"
    with open_store(scene.config):
        assert "is not applied" in caplog.text


@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_a_damaged_file_system_is_not_mounted(make: Make, filesystem: str) -> None:
    scene = make("none", filesystem)
    with scene.image.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x5a" * (8 << 20))
    assert sentence(scene).message


# --- others -----------------------------------------------------------------------------------------------------------


def test_an_image_in_use_by_another_process(make: Make) -> None:
    scene = make()
    holder = holding_process(scene)
    try:
        for attempt in (umount_store, mount_for_browsing):
            with pytest.raises(StorageError, match="in use by another"):
                attempt(scene.config)
        with pytest.raises(StorageError, match="in use by another"), open_store(scene.config):
            pass
    finally:
        holder.communicate()
    assert holder.returncode == 0


def test_a_path_on_which_something_else_is_mounted(make: Make) -> None:
    scene = make()
    scene.store.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "elsewhere", scene.store], check=True)
    try:
        with (
            pytest.raises(StorageError, match=r"mount point of something else \(elsewhere\)"),
            open_store(scene.config),
        ):
            pass
        with pytest.raises(StorageError, match="mount point of something else"):
            umount_store(scene.config)
    finally:
        subprocess.run(["umount", scene.store], check=True)


def test_an_image_that_somebody_has_mounted_by_hand(make: Make) -> None:
    scene, elsewhere = make(), make(name="elsewhere").folder / "mnt"
    elsewhere.mkdir()
    subprocess.run(["mount", "-o", "loop", scene.image, elsewhere], check=True)
    try:
        with pytest.raises(StorageError, match="not by snapmirror"), open_store(scene.config):
            pass
        assert mount.mount_at(elsewhere) is not None
    finally:
        subprocess.run(["umount", elsewhere], check=True)


# --- stuck ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encryption", ["none", "luks1"])
def test_a_busy_store_is_stuck_and_its_holder_named(make: Make, encryption: str) -> None:
    scene = make(encryption)
    sitter = None
    try:
        with pytest.raises(StuckError, match=r"sleep \(pid \d+\)") as caught, open_store(scene.config) as store:
            sitter = subprocess.Popen(["sleep", "600"], cwd=store.path)
            raise ZeroDivisionError
        assert isinstance(caught.value.__context__, ZeroDivisionError), "what happened before stays visible"
        standing = scene.standing()
        assert str(scene.store) in standing
        assert any("loop" in one for one in standing), "nothing was pulled from under the stuck mount"
        with pytest.raises(StuckError):
            umount_store(scene.config)
    finally:
        if sitter is not None:
            sitter.kill()
            sitter.wait()
    assert umount_store(scene.config) is True
    assert umount_store(scene.config) is False


def test_a_store_that_is_busy_for_a_moment_is_not_stuck(make: Make) -> None:
    scene = make()
    with open_store(scene.config) as store:
        sitter = subprocess.Popen(["sleep", "1"], cwd=store.path)
    sitter.wait()


def test_a_loop_device_that_something_keeps_open_is_stuck(make: Make) -> None:
    scene = make()
    opened = None
    try:
        with pytest.raises(StuckError, match="still attached"), open_store(scene.config) as store:
            opened = open(f"/dev/{store.device}", "rb")  # noqa: SIM115  (it is to outlive the store)
    finally:
        if opened is not None:
            opened.close()
    umount_store(scene.config)


# --- after a death ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encryption", "filesystem"), FEW_STACKS)
def test_a_killed_run_is_recovered(
    make: Make, encryption: str, filesystem: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(NOTICE, "snapmirror")
    scene = make(encryption, filesystem)
    holder = holding_process(scene, body="(store.path / 'kept').write_text('kept'); store.flush()")
    holder.kill()
    holder.wait()
    assert scene.standing() != []
    with open_store(scene.config) as store:
        assert (store.path / "kept").read_text() == "kept"
    assert "the last run died" in caplog.text


@pytest.mark.parametrize(("encryption", "filesystem"), STACKS)
def test_a_power_cut_is_replayed_and_checked(
    make: Make, encryption: str, filesystem: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(NOTICE, "snapmirror")
    scene, after = make(encryption, filesystem), make(encryption, filesystem, "after")
    with open_store(scene.config) as store:
        (store.path / "kept").write_text("kept")
        store.flush()
        for number in range(200):  # so that the log holds something that is not yet in its place
            (store.path / f"file.{number}").touch()
        store.flush()
        copy_image(scene.image, after.image)
    with open_store(after.config) as store:
        assert (store.path / "kept").read_text() == "kept"
        assert len(list(store.path.glob("file.*"))) == 200
    assert "was not closed properly" in caplog.text


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_what_a_full_disk_cannot_replay_waits_for_room(make: Make, tmp_path: Path, filesystem: str) -> None:
    scene = make("none", filesystem)
    with small_volume(tmp_path / "disk", 400) as disk:
        with open_store(scene.config) as store:
            for number in range(2000):  # their blocks are holes still
                (store.path / f"folder.{number}").mkdir()
            store.flush()
            copy_image(scene.image, disk / "store.img")
        shutil.copy(scene.record, disk)
        scene.extra = {"file": str(disk / "store.img")}
        leave(disk / "filler", blocks=0)
        for _ in range(2):
            assert "dmesg" in refusal(scene).hint
            assert loop.attached_to(disk / "store.img") == ()
            assert not Places(disk / "store.img").folder.exists()
        (disk / "filler").unlink()
        with open_store(scene.config) as store:
            assert len(list(store.path.glob("folder.*"))) == 2000
        if filesystem == "ext4":
            subprocess.run(["e2fsck", "-f", "-n", disk / "store.img"], check=True)


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_is_killed_under_the_store_is_an_error_and_leaves_nothing(make: Make) -> None:
    scene = make("luks1")
    with pytest.raises(StorageError), open_store(scene.config) as store:
        (store.path / "kept").write_text("kept")
        store.flush()
        [process] = qsd.daemons(Places(scene.image).export)
        process.kill()
        process.wait()
        (store.path / "lost").write_text("lost")
    assert scene.standing() == []
    with open_store(scene.config) as store:
        assert (store.path / "kept").read_text() == "kept"


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_died_with_the_run_is_recovered(make: Make) -> None:
    scene = make("luks1", "ext4")
    holder = holding_process(scene, body="(store.path / 'kept').write_text('kept'); store.flush()")
    [process] = qsd.daemons(Places(scene.image).export)
    process.kill()
    holder.kill()
    holder.wait()
    with open_store(scene.config) as store:
        assert (store.path / "kept").read_text() == "kept"


def test_a_signal_while_opening_leaves_nothing(make: Make) -> None:
    """Wherever it hits: what was half acquired is found by what the kernel says."""
    scene = make("luks1")
    before = signal.getsignal(signal.SIGALRM)
    stopped = Interrupted(signal.SIGALRM, "SIGALRM")
    interrupts.install_own(signal.SIGALRM, stopped)
    try:
        for milliseconds in range(15, 700, 30):
            with pytest.raises(Interrupted, match="SIGALRM"):
                signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000)
                with open_store(scene.config):
                    time.sleep(2)
            assert scene.standing() == [], f"after {milliseconds} ms"
            interrupts._State.raised = None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- browsing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encryption", "filesystem"), FEW_STACKS)
def test_browsing_is_read_only_and_ends_with_umount(make: Make, encryption: str, filesystem: str) -> None:
    scene = make(encryption, filesystem)
    with open_store(scene.config) as store:
        (store.path / "file").write_text("text")
    assert mount_for_browsing(scene.config) is True
    assert mount_for_browsing(scene.config) is False
    assert (scene.store / "file").read_text() == "text"
    with pytest.raises(OSError, match="Read-only"):
        (scene.store / "other").touch()
    with open_store(scene.config, read_only=True) as store:
        assert (store.path / "file").read_text() == "text"
    assert (scene.store / "file").exists(), "reading left the mount as it was"
    assert umount_store(scene.config) is True
    assert umount_store(scene.config) is False
    assert scene.standing() == []


def test_a_night_releases_a_forgotten_browsing_mount_and_says_so(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTICE, "snapmirror")
    scene = make("luks1")
    mount_for_browsing(scene.config)
    with open_store(scene.config) as store:
        (store.path / "file").touch()
    assert "still mounted for browsing; released it" in caplog.text


def test_a_night_does_not_throw_out_somebody_who_browses(make: Make) -> None:
    scene = make()
    mount_for_browsing(scene.config)
    sitter = subprocess.Popen(["sleep", "600"], cwd=scene.store)
    try:
        error = refusal(scene)
        assert "mounted for browsing and in use" in error.message
        assert "sleep" in error.message
        assert "umount" in error.hint
        assert mount.mount_at(scene.store) is not None
    finally:
        sitter.kill()
        sitter.wait()
    umount_store(scene.config)


def fill(file: Path, size: int) -> None:
    """Write until it is done, or the store itself notices that the disk below is full."""
    with suppress(OSError):
        file.write_bytes(os.urandom(size))


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_a_full_disk_under_the_image_is_no_silent_loss(make: Make, tmp_path: Path, filesystem: str) -> None:
    template = make("none", filesystem)
    disk, below = tmp_path / "disk.img", tmp_path / "disk"
    below.mkdir()
    with disk.open("wb") as file:
        file.truncate(200 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, below], check=True)
    scene = Scene(below / "scene", "none", filesystem)
    try:
        copy_image(template.image, scene.image)
        shutil.copy(template.record, scene.record)
        with pytest.raises(StorageError, match="could not be written out") as caught, open_store(scene.config) as store:
            fill(store.path / "big", 300 << 20)
        assert "full" in caught.value.hint
        assert scene.standing() == [str(below)] or scene.standing() == []
    finally:
        scene.clean_up()
        subprocess.run(["umount", below], check=True)


def test_a_copy_that_is_mounted_by_hand_is_named(make: Make, tmp_path: Path) -> None:
    """XFS is not mounted twice, whichever way the other one was opened."""
    scene = make()
    copy, place = tmp_path / "copy.img", tmp_path / "place"
    shutil.copyfile(scene.image, copy)
    place.mkdir()
    with loop.attached(copy) as device:
        subprocess.run(["mount", device.device, place], check=True)
        try:
            with pytest.raises(StorageError) as caught, open_store(scene.config):
                pass
        finally:
            subprocess.run(["umount", place], check=True)
        assert f"is open already as {device.device}, mounted on {place}" in caught.value.message
        assert caught.value.hint == f"close it: umount {place}; losetup --detach {device.device}"
        with open_store(scene.config):
            pass


def test_an_encrypted_image_that_is_open_by_hand_is_named(make: Make, tmp_path: Path, daemon: None) -> None:
    """By QEMU's daemon, for a look, as the page `read-by-hand` says for a kernel without dm-crypt."""
    scene = make("luks1")
    export, place = tmp_path / "export", tmp_path / "place"
    place.mkdir()
    with qsd.exported(scene.image, export, KEY, read_only=True), loop.attached(export, read_only=True) as device:
        subprocess.run(["mount", "-o", "ro,norecovery", device.device, place], check=True)
        try:
            with pytest.raises(StorageError) as caught, open_store(scene.config, read_only=True):
                pass
        finally:
            subprocess.run(["umount", place], check=True)
        assert f"is open already as {device.device}, mounted on {place}" in caught.value.message


@pytest.mark.parametrize("look", ["nothing", "loop", "mount"])
def test_an_encrypted_image_that_is_open_by_hand_is_not_opened_twice(make: Make, tmp_path: Path, look: str) -> None:
    """ext4 may be mounted twice, each time through a daemon of its own: both would write."""
    scene = make("luks1", "ext4")
    export, place = tmp_path / "export", tmp_path / "place"
    place.mkdir()
    with qsd.exported(scene.image, export, KEY), ExitStack() as stack:
        [daemon] = qsd.daemons(export)
        expected, end = f"is open already with qemu-storage-daemon (pid {daemon.pid})", f"kill {daemon.pid}"
        if look != "nothing":
            device = stack.enter_context(loop.attached(export)).device
            expected = f"is open already as {device}"
        if look == "mount":
            subprocess.run(["mount", device, place], check=True)
            stack.callback(lambda: subprocess.run(["umount", place], check=True))
            expected += f", mounted on {place}"
        for read_only in (False, True):
            with pytest.raises(StorageError) as caught, open_store(scene.config, read_only=read_only):
                pass
            assert caught.value.message.endswith(expected)
            assert caught.value.hint.endswith(end)
    with open_store(scene.config):
        pass


def test_a_mapping_that_was_made_by_hand_is_named(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cryptsetup open IMAGE byhand`. The kernel here may have no device-mapper: its table is a folder of ours."""
    scene = make()
    with loop.attached(scene.image) as device:
        holder = tmp_path / "block" / device.name / "holders/dm-0/dm/name"
        holder.parent.mkdir(parents=True)
        holder.write_text("byhand\n")
        (tmp_path / "block" / device.name / "loop").mkdir()
        (tmp_path / "block" / device.name / "loop/backing_file").write_text(f"{scene.image}\n")
        with monkeypatch.context() as patched:
            patched.setattr(loop, "_BLOCK_DEVICES", tmp_path / "block")
            with pytest.raises(StorageError) as caught, open_store(scene.config):
                pass
    assert caught.value.message == f"{scene.image} is open already as /dev/mapper/byhand"
    assert caught.value.hint == "close it: cryptsetup close byhand"


@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_a_mount_that_another_namespace_has_copied_is_waited_for(tmp_path: Path, filesystem: str) -> None:
    """A container, or an rsync of another run, that has begun while a log was replayed; it was called damage."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    folder = tmp_path / "mounted"
    folder.mkdir()
    with loop.attached(image) as attached:
        subprocess.run([f"mkfs.{filesystem}", "-q", attached.device], check=True)
        mount.mount(attached.device, folder, filesystem=filesystem, options=["noatime"])
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 2"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None and other.stdout.readline()
            mount.umount(folder)
            assert not filesystems.is_free(attached.device)
            {"xfs": filesystems.check_xfs, "ext4": filesystems.check_ext4}[filesystem](attached.device)
            assert other.wait() == 0, "it was waited for"


def test_losetup_is_asked_only_where_a_device_is_attached(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make()
    said = tmp_path / "said"
    with loop.attached(scene.image), monkeypatch.context() as patched:
        put_first_on_path(tmp_path / "bin", "losetup", f'echo "$1" >>{said}; exit 1', patched.setenv)
        patched.setattr(loop, "_BLOCK_DEVICES", tmp_path)
        assert loop.attached_to(scene.image) == ()
        assert not said.exists()
        patched.setattr(loop, "_BLOCK_DEVICES", tmp_path / "missing")  # where /sys cannot be read, losetup knows
        with pytest.raises(ProgramFailed):
            loop.attached_to(scene.image)
    assert said.read_text() == "--list\n"
