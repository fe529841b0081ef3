"""What a night calls a warning, whichever part of the program it is of, is in its report, and the night ends with 3."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import scenes
from tests.support.runner import Result, Scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scenes.encrypted(tmp_path_factory.mktemp("warned")) as made:
        yield made


def warned(result: Result, sentences: list[str]) -> None:
    """These are all the warnings: in the report, and once each where people look."""
    assert result.exit_code == (3 if sentences else 0), str(result)
    warnings = result.json["warnings"]
    assert len(warnings) == len(sentences), str(result)
    for warning, sentence in zip(warnings, sentences, strict=True):
        assert sentence in warning
        assert result.stderr.count(sentence) == 1, str(result)
    assert result.stderr.count("warning: ") == len(sentences), str(result)


def test_a_key_that_others_can_read_and_another_size_are_warnings_of_the_night(scene: Scene) -> None:
    key = Path(scene.image["key_file"])
    warned(scene.night(expect=None), [])
    key.chmod(0o644)
    scene.image["size"] = "700M"
    scene.configure()
    sentences = ["is not applied", "the key file"]
    first = scene.night(expect=None)
    status = scene.command("status")
    kept = [json.loads(path.read_text()) for path in scene.state.glob("*.json")]
    quiet = scene.command("--quiet", "run")
    (scene.source / "file").rename(scene.folder / "away")
    scene.source.rmdir()
    failed = scene.command("run")
    scene.source.mkdir()
    (scene.folder / "away").rename(scene.source / "file")
    key.chmod(0o600)
    scene.image["size"] = "512M"
    scene.configure()

    warned(first, sentences)
    assert (first.mirror["result"], first.mirror["exit_code"], first.mirror["warnings"]) == ("published", 0, [])
    assert status.exit_code == 3 and all(sentence in status.stdout for sentence in sentences), str(status)
    assert any(one.get("exit_code") == 3 and len(one["warnings"]) == 2 for one in kept)
    assert quiet.exit_code == 3 and all(quiet.stderr.count(one) == 1 for one in sentences), str(quiet)
    assert failed.exit_code == 12 and all(failed.stderr.count(one) == 1 for one in sentences), str(failed)
    warned(scene.night(expect=None), [])
    assert scene.command("status").exit_code == 0


def test_what_a_night_mends_by_itself_is_said_and_is_no_warning(scene: Scene) -> None:
    assert scene.command("mount").exit_code == 0
    released = scene.night(expect=None)
    warned(released, [])
    assert "the store was still mounted for browsing; released it" in released.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
def test_the_first_night_without_root_is_done() -> None:
    with tempfile.TemporaryDirectory(prefix="warned.") as folder:  # pytest's own are for its user only
        os.chmod(folder, 0o755)
        scene = Scene(Path(folder), user=4321)
        (scene.source / "file").write_text("one\n")
        first = scene.night(expect=None)
        warned(first, [])
        assert "without root, only the manifest keeps the owners of files" in first.stderr
