"""The image file, its record, and its key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snapmirror.errors import StorageError
from snapmirror.storage import encryption, image
from tests.support.storage import Scene

# --- the file and its record ------------------------------------------------------------------------------------------


def test_the_file_is_sparse_and_its_owners_only(tmp_path: Path) -> None:
    scene = Scene(tmp_path, size="3G")
    record = image.new_record(scene.image_config)
    image.create(scene.image, record)
    assert scene.image.stat().st_size == 3 << 30
    assert image.allocated_bytes(scene.image) == 0
    assert scene.image.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StorageError, match="File exists"):
        image.create(scene.image, record)


def test_a_size_is_cut_to_whole_sectors(tmp_path: Path) -> None:
    scene = Scene(tmp_path, size=str((1 << 30) + 5000))
    assert image.new_record(scene.image_config).size == (1 << 30) + 4096


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    record = image.new_record(scene.image_config)
    image.write_record(scene.image, record, new=True)
    scene.image.touch()
    assert image.read_record(scene.image) == record
    assert json.loads(scene.record.read_text()) == record.model_dump()
    with image.held(scene.image) as held:
        assert held == record
        ready = image.mark_ready(scene.image, held)
    assert image.read_record(scene.image) == ready
    assert ready.ready


def test_only_one_can_hold_an_image(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    image.write_record(scene.image, image.new_record(scene.image_config), new=True)
    with image.held(scene.image), pytest.raises(StorageError, match="in use by another"), image.held(scene.image):
        pass
    with image.held(scene.image):
        pass


@pytest.mark.parametrize(
    "change",
    [
        {"size": "150G"}, {"size": None}, {"filesystem": "ntfs"}, {"encryption": "rot13"}, {"unknown": 1},
        {"version": "1"}, {"version": 0}, {"id": 7}, {"created": None}, {"ready": "yes"}, {"size": True}, {"size": -1},
    ],
)  # fmt: skip
def test_a_record_with_nonsense_in_it(tmp_path: Path, change: dict[str, object]) -> None:
    scene = Scene(tmp_path)
    record = image.new_record(scene.image_config).model_dump()
    scene.record.write_text(json.dumps(record | change))
    with pytest.raises(StorageError, match=r"is damaged|has version"):
        image.read_record(scene.image)


# --- the key ----------------------------------------------------------------------------------------------------------


def encrypted(folder: Path, **extra: object) -> Scene:
    return Scene(folder, "luks1", extra=dict(extra))


def test_a_key_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """cryptsetup --key-file takes every byte as well."""
    scene = encrypted(tmp_path)
    scene.key_file.write_bytes(b"\xff key\n\n")
    assert encryption.read_key(scene.image_config) == b"\xff key\n\n"


@pytest.mark.parametrize(
    ("prints", "key"),
    [("key", b"key"), ("key\\n", b"key"), ("key\\n\\n", b"key\n"), ("key\\r\\n", b"key"), (" k\\377\\n", b" k\xff")],
)
def test_a_key_command_prints_the_key_and_a_line_end(tmp_path: Path, prints: str, key: bytes) -> None:
    scene = encrypted(tmp_path, key_file=None, key_command=["printf", prints])
    assert encryption.read_key(scene.image_config) == key


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["sh", "-c", "echo sealed >&2; exit 1"], "key_command sh failed: sealed"),
        (["true"], "is empty"),
        (["printf", "\\n"], "is empty"),
    ],
)
def test_a_key_command_that_gives_none(tmp_path: Path, command: list[str], says: str) -> None:
    scene = encrypted(tmp_path, key_file=None, key_command=command)
    with pytest.raises(StorageError, match=says):
        encryption.read_key(scene.image_config)


def test_bad_key_files(tmp_path: Path) -> None:
    scene = encrypted(tmp_path)
    scene.key_file.unlink()
    with pytest.raises(StorageError, match="is missing") as caught:
        encryption.read_key(scene.image_config)
    assert "openssl" in caught.value.hint
    scene.key_file.mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        encryption.read_key(scene.image_config)


def test_without_encryption_there_is_no_key(tmp_path: Path) -> None:
    assert encryption.read_key(Scene(tmp_path).image_config) is None


def test_the_names_follow_from_the_image_alone(tmp_path: Path) -> None:
    one, same, other = (encryption.Places(tmp_path / name) for name in ("a", "b/../a", "c"))
    assert one.folder == same.folder != other.folder
    assert one.mapping == same.mapping != other.mapping
    assert one.export.parent == one.folder
