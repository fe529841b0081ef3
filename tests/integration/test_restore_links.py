"""Restoring attributes onto files with several names: refused only where one of them is in the store."""

from __future__ import annotations

import os
import shutil

from tests.support.runner import Scene


def test_attributes_of_files_with_several_names_outside_the_store(scene: Scene) -> None:
    """On the store's disk, too: only what has a name in the store is left alone, whatever that name is."""
    (scene.source / "file").write_text("0")
    (scene.source / "file").chmod(0o600)
    scene.night()
    target = scene.folder / "target"
    target.mkdir()
    shutil.copy2(scene.source / "file", target / "file")
    (target / "file").chmod(0o640)
    os.link(target / "file", scene.folder / "other name")
    done = scene.command("restore", "newest", "/", "--to", target, "--yes")
    assert done.exit_code == 0, str(done)
    assert (target / "file").stat().st_mode & 0o777 == 0o600
    (scene.source / "file").chmod(0o644)
    scene.night()
    (target / "file").unlink()
    os.link(scene.slots()[2] / "file", target / "file")  # an older snapshot's
    done = scene.command("restore", "newest", "/", "--to", target, "--yes")
    assert done.exit_code == 2, str(done)
    assert "is a hard link into the store" in done.stderr
    assert (scene.slots()[2] / "file").stat().st_mode & 0o777 == 0o600
