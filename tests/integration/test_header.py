"""The LUKS header of an image, changed by somebody who can write it: nights refuse it, and the key is not used.

LUKS1 only, as QEMU opens it; what LUKS2 headers are refused is in tests/unit/test_luks_header.py, and the opening by a
detached one in tests/e2e/test_nights.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import scenes
from tests.support.runner import Scene
from tests.support.storage import KEY


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Scene]:
    with scenes.encrypted(tmp_path) as made:
        yield made


def cryptsetup(*words: str | Path) -> None:
    subprocess.run(["cryptsetup", "--batch-mode", *words], check=True, input=KEY)


def test_another_key_slot_is_refused_until_the_administrator_says_that_it_is_his(encrypted: Scene) -> None:
    image, backup = Path(encrypted.image["file"]), Path(encrypted.image["header_backup"])
    encrypted.night()
    new = encrypted.folder / "new.key"
    new.write_bytes(b"another")
    iterations = ("--pbkdf-force-iterations", "1000")
    cryptsetup("luksAddKey", *iterations, "--key-file=-", image, new)
    for words in (("run",), ("list",), ("mount",), ("copy-image", encrypted.folder)):
        refused = encrypted.command(*words)
        assert refused.exit_code == 11, f"{words}: {refused}"
        assert "has changed since this machine saw it last" in refused.stderr
        assert "luksHeaderBackup" in refused.stderr
    doctor = encrypted.command("doctor")
    assert (doctor.exit_code, "has changed since" in doctor.stdout) == (11, True), str(doctor)
    assert "has changed since" in encrypted.command("status").stdout

    backup.unlink()
    cryptsetup("luksHeaderBackup", image, "--header-backup-file", backup)
    accepted = encrypted.command("run")
    assert (accepted.exit_code, "has changed, and equals" in accepted.stderr) == (0, True), str(accepted)
    assert "warning" not in encrypted.command("run").stderr
    old = backup.read_bytes()
    cryptsetup("luksRemoveKey", image, new)
    assert encrypted.command("run").exit_code == 11
    cryptsetup("luksHeaderRestore", image, "--header-backup-file", backup)
    assert encrypted.command("run").exit_code == 0
    assert backup.read_bytes() == old


def test_a_store_of_before_is_believed_once(encrypted: Scene) -> None:
    """Made by a version that kept no copy, and its backup lies in a safe."""
    Path(encrypted.image["header_backup"]).unlink()
    [known] = encrypted.state.glob("*.luks-header")
    known.unlink()
    first = encrypted.command("run")
    assert (first.exit_code, "taking it as it is now" in first.stderr) == (3, True), str(first)
    assert known.stat().st_mode & 0o077 == 0
    assert known.stat().st_blocks * 512 < 1 << 20, "what has no meaning is not kept"
    assert "taking it" not in encrypted.command("run").stderr
