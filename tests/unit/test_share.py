"""Who mounts the share, who uses it, who unmounts it: with programs that only keep a table of mounts."""

from __future__ import annotations

import fcntl
from contextlib import suppress
from pathlib import Path

import pytest

from snapmirror import machine
from snapmirror.config import ShareConfig
from snapmirror.errors import ShareLost, StorageError, StuckError
from snapmirror.storage import image, image_lock, share
from snapmirror.tools import loop, mount
from snapmirror.tools.undo import LeaveStanding, undone_by
from tests.support.storage import put_first_on_path

MOUNT = 'echo "9 1 0:9 / $2 rw - cifs $1 rw,vers=3.1.1,seal,hard" >> {table}; echo mount >> {log}'
UMOUNT = "sed -i '$d' {table}; echo umount >> {log}"


class Scene:
    """A share that can be "mounted", and what was done to it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table, self.log, self._blocks = folder / "mountinfo", folder / "log", folder / "block"
        self.table.write_text("1 0 0:1 / / rw - ext4 /dev/a rw\n")
        self.log.touch()
        monkeypatch.setattr(loop, "_BLOCK_DEVICES", self._blocks)
        monkeypatch.setattr(mount, "_MOUNTINFO", self.table)
        monkeypatch.setattr(share, "RUNTIME_FOLDER", folder / "run")
        monkeypatch.setattr(share, "_TURN_SECONDS", 0.2)
        for name, script in (("mount.cifs", MOUNT), ("umount", UMOUNT)):
            put_first_on_path(folder / "bin", name, script.format(table=self.table, log=self.log), monkeypatch.setenv)
        credentials = folder / "smb.cred"
        credentials.write_text("username=a\npassword=b\n")
        credentials.chmod(0o600)
        self.config = ShareConfig(unc="//winhost/backup", credentials=credentials, mount_point=folder / "share")

    def attach(self, file: Path) -> None:
        """A loop device shows this file, and no other one does."""
        table = self._blocks / "loop9/loop/backing_file"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(f"{file}\n")

    @property
    def done(self) -> list[str]:
        return self.log.read_text().split()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_mounted_and_unmounted(scene: Scene) -> None:
    with share.mounted(scene.config):
        assert share.is_mounted(scene.config)
        assert scene.done == ["mount"]
    assert scene.done == ["mount", "umount"]
    with share.mounted(None):
        pass


def test_the_last_one_unmounts(scene: Scene) -> None:
    with share.mounted(scene.config):
        with share.mounted(scene.config):
            assert scene.done == ["mount"]
        assert scene.done == ["mount"], "someone else uses it"
    assert scene.done == ["mount", "umount"]


def test_what_a_dead_run_left_is_used_and_then_unmounted(scene: Scene) -> None:
    with suppress(LeaveStanding), share.mounted(scene.config):
        raise LeaveStanding
    assert scene.done == ["mount"]
    with share.mounted(scene.config):
        pass
    assert scene.done == ["mount", "umount"]


def test_a_store_left_for_browsing_keeps_its_share(scene: Scene) -> None:
    with share.mounted(scene.config):
        scene.attach(scene.config.mount_point / "x.img")
    assert scene.done == ["mount"]
    scene.attach(Path("/elsewhere/x.img"))
    with share.mounted(scene.config):
        pass
    assert scene.done == ["mount", "umount"]


def test_what_someone_else_mounted_there_is_left_alone(scene: Scene) -> None:
    scene.table.write_text(f"9 1 0:9 / {scene.config.mount_point} rw - cifs //other/share rw,vers=3.1.1,seal,hard\n")
    with pytest.raises(StorageError, match=r"is not a mount of //winhost/backup"), share.mounted(scene.config):
        pass


def test_a_mount_without_our_options_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = MOUNT.replace(",hard", "").format(table=scene.table, log=scene.log)
    put_first_on_path(tmp_path / "bin", "mount.cifs", script, monkeypatch.setenv)
    with pytest.raises(StorageError, match="without hard"), share.mounted(scene.config):
        pass
    assert scene.done == ["mount", "umount"]


def test_nobody_waits_for_ever_for_someone_who_is_mounting(scene: Scene, tmp_path: Path) -> None:
    with share.mounted(scene.config):
        pass
    (lock,) = (tmp_path / "run").iterdir()
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="is busy mounting"), share.mounted(scene.config):
            pass


def test_what_is_stuck_on_a_lost_share_says_both() -> None:
    def release() -> None:
        raise StuckError("/srv is still mounted", hint="end what uses it")

    with pytest.raises(StuckError) as caught, undone_by(release):
        raise ShareLost(10, "//winhost/backup", 300)
    assert caught.value.message == "//winhost/backup has not answered for 300 seconds, and /srv is still mounted"
    assert "bring the server of the share back" in caught.value.hint


def test_what_a_dead_run_left_on_a_share_that_is_away_is_stuck(scene: Scene) -> None:
    """Nothing is released, for nothing can be; but the code says that something stands."""
    lost = ShareLost(10, "//winhost/backup", 300)
    with suppress(LeaveStanding), share.mounted(scene.config):
        scene.attach(scene.config.mount_point / "x.img")
        raise LeaveStanding
    says = r"not answered for 300 seconds, and .*/x\.img is still attached"
    with pytest.raises(StuckError, match=says) as caught, share.mounted(scene.config):
        raise lost
    assert caught.value.exit_code == 20
    assert scene.done == ["mount"]
    scene.attach(Path("/elsewhere/x.img"))
    with pytest.raises(ShareLost), share.mounted(scene.config):
        raise lost
    assert scene.done == ["mount", "umount"]


# --- whose the image is -----------------------------------------------------------------------------------------------


def test_one_machine_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "x.img"
    with image_lock.on_server(picture):
        with (
            pytest.raises(StorageError, match="is in use by snapmirror on") as caught,
            image_lock.on_server(picture),
        ):
            pass
        assert "it has had the image since 20" in caught.value.hint
        monkeypatch.setattr(machine, "_MACHINE", (tmp_path / "other",))
        (tmp_path / "other").write_text("another machine")
        with pytest.raises(StorageError, match="is in use by"), image_lock.on_server(picture):
            pass
    with image_lock.on_server(picture):
        pass


def test_the_lock_of_our_own_last_life_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM lost its power, and its server has not noticed yet."""
    picture = tmp_path / "x.img"
    with image_lock.on_server(picture):
        boot = tmp_path / "boot"
        boot.write_text("another boot")
        monkeypatch.setattr(machine, "_BOOT", boot)
        with image_lock.on_server(picture):
            pass


def test_a_folder_that_takes_no_lock_file(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "x.img"
    with pytest.raises(StorageError, match=r"x.img.lock cannot be opened"), image_lock.on_server(place):
        pass


def test_where_an_image_lies(scene: Scene, tmp_path: Path) -> None:
    assert not image.on_share(tmp_path / "x.img")
    with share.mounted(scene.config):
        assert image.on_share(scene.config.mount_point / "x.img")
