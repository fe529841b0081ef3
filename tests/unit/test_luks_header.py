"""LUKS headers made by cryptsetup on files, edited as somebody may who writes the image, and read by us."""

from __future__ import annotations

import logging
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapmirror.errors import StorageError
from snapmirror.model import NOTICE
from snapmirror.storage import header, known_header
from snapmirror.storage.image import ImageRecord
from snapmirror.storage.known_header import Copies
from snapmirror.tools import luks
from tests.support.luks_header import edit_luks1, edit_luks2, null_cipher

KEY = b"correct horse battery staple"
ID = str(uuid.UUID(int=7))
# The product's own, but for what takes seconds.
_CHEAP = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
_WITH = ["--batch-mode", "--uuid", ID, *_CHEAP, "--cipher", luks.CIPHER, "--key-size", "512", "--key-file=-"]
LUKS2 = ["--type", "luks2", "--sector-size", "4096"]
LUKS1 = ["--type", "luks1", "--hash", "sha256"]


def cryptsetup(*words: str | Path, stdin: bytes = KEY) -> None:
    subprocess.run(["cryptsetup", *words], check=True, input=stdin, capture_output=True)


def formatted(image: Path, *words: str) -> Path:
    image.touch()
    with image.open("r+b") as file:
        file.truncate(64 << 20)
    cryptsetup("luksFormat", *_WITH, *words, image)
    return image


def record_of(version: int) -> ImageRecord:
    return ImageRecord(
        id=ID, size=64 << 20, filesystem="xfs", encryption="luks2" if version == 2 else "luks1", created="", ready=True
    )


@pytest.fixture(scope="module")
def luks1(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    return 1, formatted(tmp_path_factory.mktemp("made") / "image", *LUKS1)


@pytest.fixture(scope="module")
def luks2(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    return 2, formatted(tmp_path_factory.mktemp("made") / "image", *LUKS2)


@pytest.fixture(scope="module", params=["luks1", "luks2"])
def made(request: pytest.FixtureRequest) -> tuple[int, Path]:
    found: tuple[int, Path] = request.getfixturevalue(request.param)
    return found


class Place:
    """An image that this machine may edit, and where copies of its header are."""

    def __init__(self, folder: Path, made: tuple[int, Path]) -> None:
        self.version, source = made
        self.image = folder / "image"
        subprocess.run(["cp", "--sparse=always", source, self.image], check=True)
        self.record = record_of(self.version)
        self.copies = Copies(folder / "state" / "known", folder / "backup")

    def backup(self) -> None:
        assert self.copies.backup is not None
        self.copies.backup.unlink(missing_ok=True)
        cryptsetup("luksHeaderBackup", self.image, "--header-backup-file", self.copies.backup)

    def opened(self) -> None:
        with known_header.local(self.image, self.record, self.copies) as local:
            assert luks.key_fits(local.path, KEY), "the copy is a header that cryptsetup takes"
            # as dm-crypt is set up, but for the mapping: the image's own header is not read
            cryptsetup("open", "--test-passphrase", "--key-file=-", "--header", local.path, self.image)
            local.check(self.image)
            local.accept()

    def refused(self) -> StorageError:
        with pytest.raises(StorageError) as caught:
            self.opened()
        return caught.value


@pytest.fixture
def place(made: tuple[int, Path], tmp_path: Path) -> Place:
    return Place(tmp_path, made)


def test_a_header_as_init_makes_it_is_understood(place: Place) -> None:
    found = header.read(place.image)
    assert (found.version, found.uuid, found.odd) == (place.version, ID, ())
    assert found.offset == (16 << 20 if place.version == 2 else 2 << 20)
    assert len(found.spans) == 2, "the header, and its one key slot"


def test_the_known_header_is_kept_by_the_first_opening_and_used_by_later_ones(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.backup()
    place.opened()
    assert place.copies.known.stat().st_mode & 0o077 == 0
    assert place.copies.backup is not None
    place.copies.backup.unlink()
    place.opened()
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_without_any_copy_it_is_believed_once_with_a_word(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    with known_header.local(place.image, place.record, place.copies):
        pass  # and the key did not open it
    assert not place.copies.known.exists()
    place.opened()
    assert "taking it as it is now" in caplog.text
    caplog.clear()
    place.opened()
    assert not caplog.text


def test_a_changed_key_slot_is_taken_once_the_backup_has_it(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTICE, "snapmirror")
    place.backup()
    place.opened()
    new = place.image.with_name("new.key")
    new.write_bytes(b"another")
    cryptsetup("luksAddKey", *_CHEAP, "--key-file=-", place.image, new)
    refused = place.refused()
    assert "has changed since this machine saw it last" in refused.message
    assert "luksHeaderBackup" in refused.hint
    place.backup()
    place.opened()
    assert "has changed, and equals" in caplog.text
    assert place.copies.backup is not None
    place.copies.backup.unlink()
    place.opened()


def test_the_header_is_put_back_by_the_hint(place: Place) -> None:
    place.backup()
    place.opened()
    assert place.copies.backup is not None
    place.copies.backup.unlink()
    with place.image.open("r+b") as file:
        file.write(bytes(16 << 20 if place.version == 2 else 2 << 20))
    hint = place.refused().hint
    words = hint[hint.index("cryptsetup luksHeaderRestore") :].split()[1:]
    cryptsetup("--batch-mode", *words)
    place.opened()


def some_edits() -> dict[str, Callable[[dict[str, Any]], None]]:
    def slot(data: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = data["keyslots"]["0"]
        return found

    return {
        "null cipher": null_cipher,
        "another mode": lambda data: data["segments"]["0"].update(encryption="aes-ecb"),
        "no crypt": lambda data: data["segments"].update({"0": {"type": "linear", "offset": "16777216",
                                                                "size": "dynamic"}}),
        "sectors": lambda data: data["segments"]["0"].update(sector_size=512),
        "offset": lambda data: data["segments"]["0"].update(offset="33554432"),
        "tweak": lambda data: data["segments"]["0"].update(iv_tweak="8"),
        "a short one": lambda data: data["segments"]["0"].update(size="1048576"),
        "two": lambda data: data["segments"].update({"1": dict(data["segments"]["0"])}),
        "null slot": lambda data: slot(data)["area"].update(encryption="cipher_null-ecb"),
        "kind of slot": lambda data: slot(data).update(type="reencrypt"),
        "kdf": lambda data: slot(data)["kdf"].update(type="none"),
        "requirement": lambda data: data["config"].update(requirements={"mandatory": ["online-reencrypt-v2"]}),
        "no digest": lambda data: data["digests"]["0"].update(segments=[]),
    }  # fmt: skip


@pytest.mark.parametrize("edit", some_edits())
@pytest.mark.parametrize("copies", ["both", "none"])
def test_no_other_cipher_is_taken_whatever_is_known(
    luks2: tuple[int, Path], tmp_path: Path, edit: str, copies: str
) -> None:
    place = Place(tmp_path, luks2)
    if copies != "none":
        place.backup()
    if copies == "both":
        place.opened()
    edit_luks2(place.image, some_edits()[edit])
    if edit == "null cipher":
        assert luks.key_fits(place.image, KEY), "cryptsetup opens it"
    refused = place.refused()
    assert "is not as init made it" in refused.message, refused.message
    assert "luksHeaderRestore" in refused.hint
    if copies == "none":
        assert not place.copies.known.exists()
        return
    assert place.copies.backup is not None
    place.copies.backup.unlink()
    subprocess.run(["cp", place.image, place.copies.backup], check=True)
    place.refused()  # nor is it the administrator's word that makes it one


@pytest.mark.parametrize(("cipher", "mode"), [(b"cipher_null", b"ecb"), (b"aes", b"ecb"), (b"twofish", b"xts-plain64")])
def test_nor_is_it_in_luks1(luks1: tuple[int, Path], tmp_path: Path, cipher: bytes, mode: bytes) -> None:
    place = Place(tmp_path, luks1)
    edit_luks1(place.image, cipher=cipher, mode=mode)
    assert "its cipher is" in place.refused().message
    place.backup()
    place.refused()


def test_an_image_of_another_id_or_kind_is_refused(place: Place) -> None:
    place.record = place.record.model_copy(update={"id": str(uuid.uuid4())})
    assert "does not carry" in place.refused().message
    place.record = record_of(3 - place.version)
    assert "does not carry" in place.refused().message


def test_a_copy_that_is_damaged_counts_as_none_beside_a_good_one(place: Place) -> None:
    place.backup()
    place.opened()
    place.copies.known.write_bytes(b"")
    place.opened()
    assert place.copies.known.stat().st_size == header.read(place.image).offset
    place.copies.known.write_bytes(b"LUKS")
    assert place.copies.backup is not None
    place.copies.backup.unlink()
    place.refused()  # a copy that is there and cannot be read is not "no copy"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_a_changed_byte_that_means_something_is_seen(made: tuple[int, Path], data: st.DataObject) -> None:
    version, source = made
    spans = header.read(source).spans
    start, length = data.draw(st.sampled_from(spans))
    at = start + data.draw(st.integers(0, length - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    copy = source.with_name("changed")
    shutil.copy(source, source.with_name("backup")) if not source.with_name("backup").exists() else None
    if not copy.exists():
        subprocess.run(["cp", "--sparse=always", source, copy], check=True)
    with copy.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ bit]))
    try:
        with pytest.raises(StorageError):
            known_header.judge(copy, record_of(version), Copies(source.with_name("backup")))
    finally:
        with copy.open("r+b") as file:
            file.seek(at)
            file.write(old)
    assert known_header.judge(copy, record_of(version), Copies(source.with_name("backup"))).equals == "known"


@given(st.binary(max_size=600), st.integers(0, 4095))
def test_rubbish_is_no_header(rubbish: bytes, at: int) -> None:
    head = bytearray(b"LUKS\xba\xbe\x00\x02" + bytes(8184))
    head[at : at + len(rubbish)] = rubbish
    for start in (bytes(head), b"LUKS\xba\xbe\x00\x01" + bytes(head[8:])):
        try:
            header.parse(lambda first, length, start=start: start[first : first + length])  # type: ignore[misc]
        except header.Unreadable:
            continue
