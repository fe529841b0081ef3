"""Stores for the tests of the storage: real images, copied from templates made once; nothing may stay behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snapmirror.config import Config, ImageConfig, parse
from snapmirror.storage.encryption import Places
from snapmirror.storage.initialise import initialise
from snapmirror.storage.selftest import Workload
from snapmirror.tools import loop, luks, mount

TINY = Workload(small_files=120, big_files=1, big_bytes=1 << 20, rounds=1)
# luks1 goes through dm-crypt where the kernel has it, else through qemu-storage-daemon; luks2 only exists there.
STACKS = [("none", "xfs"), ("none", "ext4"), ("luks1", "xfs"), ("luks1", "ext4")]
FEW_STACKS = [("none", "xfs"), ("luks1", "ext4")]  # for what does not depend on every combination
if luks.kernel_has_dm_crypt():
    FEW_STACKS += [("luks2", "xfs")]
    STACKS += [("luks2", "xfs"), ("luks2", "ext4")]
KEY = b"correct horse battery staple\n"


@dataclass
class Scene:
    """One folder with everything a store needs in it."""

    folder: Path
    encryption: str = "none"
    filesystem: str = "xfs"
    size: str = "512M"
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.encrypted:
            self.key_file.write_bytes(KEY)
            self.key_file.chmod(0o600)

    @property
    def encrypted(self) -> bool:
        return self.encryption != "none"

    @property
    def image(self) -> Path:
        return self.folder / "store.img"

    @property
    def record(self) -> Path:
        return self.folder / "store.img.json"

    @property
    def header_backup(self) -> Path:
        return self.folder / "header"

    @property
    def key_file(self) -> Path:
        return self.folder / "key"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def config(self) -> Config:
        image: dict[str, Any] = {"file": str(self.image), "size": self.size}
        image |= {"filesystem": self.filesystem, "encryption": self.encryption}
        if self.encrypted:
            image |= {"key_file": str(self.key_file), "header_backup": str(self.header_backup)}
        return parse(
            {
                "store": {"path": str(self.store), "state_dir": str(self.folder / "state")},
                "image": {key: value for key, value in (image | self.extra).items() if value is not None},
                "mirror": [{"name": "web1", "source": "/etc"}],
            }
        )

    @property
    def image_config(self) -> ImageConfig:
        image = self.config.image
        assert image is not None
        return image

    def standing(self) -> list[str]:
        """What the kernel still has of this scene: mounts, loop devices, daemons' folders."""
        found = [str(m.target) for m in mount.mounts() if m.target.is_relative_to(self.folder.resolve())]
        places = Places(self.image)
        for file in (self.image, places.export):
            found += [str(device.device) for device in loop.attached_to(file)]
        if luks.is_unlocked(places.mapping):
            found.append(places.mapping)
        if places.folder.exists():
            found.append(str(places.folder))
        return found

    def clean_up(self) -> None:
        """For a test that failed: take away what stands, by hand."""
        places = Places(self.image)
        for m in reversed(mount.mounts()):
            if m.target.is_relative_to(self.folder.resolve()) or m.target == places.private:
                subprocess.run(["umount", m.target], check=False)
        if luks.is_unlocked(places.mapping):
            subprocess.run(["cryptsetup", "close", places.mapping], check=False)
        for file in (self.image, places.export):
            for device in loop.attached_to(file):
                subprocess.run(["losetup", "--detach", device.device], check=False)
        from snapmirror.tools import qsd

        qsd.end(places.export)
        with suppress(OSError):
            places.private.rmdir()
        with suppress(OSError):
            places.folder.rmdir()


class Templates:
    """Finished images, made once for each stack and copied for each test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str], Scene] = {}

    def copy(self, folder: Path, encryption: str, filesystem: str) -> Scene:
        key = (encryption, filesystem)
        if key not in self._made:
            template = Scene(self._folder / "-".join(key), encryption, filesystem)
            initialise(template.config, workload=TINY)
            self._made[key] = template
        template, scene = self._made[key], Scene(folder, encryption, filesystem)
        copy_image(template.image, scene.image)
        shutil.copy(template.record, scene.record)
        if template.encrypted:
            shutil.copy(template.header_backup, scene.header_backup)
        return scene


def stack_image(folder: Path, encryption: str, filesystem: str) -> dict[str, Any]:
    """An [image] section for a small image `disk.img` in `folder`, with its key beside it."""
    image = {"file": str(folder / "disk.img"), "size": "512M", "filesystem": filesystem, "encryption": encryption}
    if encryption != "none":
        key = folder / "key"
        key.write_bytes(KEY)
        key.chmod(0o600)
        image |= {"key_file": str(key), "header_backup": str(folder / "header")}
    return image


def copy_image(source: Path, target: Path) -> None:
    """A sparse copy, as it is on the disk at this moment."""
    subprocess.run(["cp", "--sparse=always", "--no-target-directory", source, target], check=True)


@contextmanager
def released(scene: Scene) -> Iterator[Scene]:
    """Whatever a test does with its scene: in the end nothing of it may stand."""
    try:
        yield scene
        assert scene.standing() == []
    finally:
        scene.clean_up()


def holding_process(scene: Scene, *, body: str = "") -> subprocess.Popen[bytes]:
    """Another process that has the store open; returns when it is, and ends when it is killed (or stdin closes)."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.support.storage import Scene\n"
        "from snapmirror.storage.open_store import open_store\n"
        f"scene = Scene(Path({str(scene.folder)!r}), {scene.encryption!r}, {scene.filesystem!r})\n"
        "with open_store(scene.config) as store:\n"
        f"    {body or 'pass'}\n"
        "    print('open', flush=True); sys.stdin.read()\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def hide_dm_crypt(folder: Path, setenv: Callable[[str, str], None]) -> None:
    """For what is to be tested with qemu-storage-daemon, on whatever kernel."""
    put_first_on_path(folder, "dmsetup", "exit 1", setenv)


def put_first_on_path(folder: Path, name: str, script: str, setenv: Callable[[str, str], None]) -> Path:
    """A fake program, or a wrapper of the real one, that every later call finds first."""
    import os

    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text("#!/bin/bash\n" + script)
    program.chmod(0o755)
    setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return program
