"""The folders of a local source are read by find while rsync looks at the files; a night never hangs on that."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from snapmirror.config import load
from snapmirror.sources.open import open_source
from snapmirror.tools.find import folders_argv
from tests.support import fake_rsync
from tests.support.runner import Scene
from tests.support.waiting import until


@pytest.fixture
def calls(scene: Scene) -> Path:
    """What find was called with. The one on PATH would never end by itself."""
    calls = scene.folder / "find.calls"
    scene.fake_program("find", f'#!/bin/sh\nprintf "%s %s\\n" $$ "$1" >> {calls}\nexec sleep 1000\n')
    return calls


def test_a_tree_of_known_size_is_read_ahead_for_as_long_as_it_is_listed(scene: Scene, calls: Path) -> None:
    scene.night()
    assert not calls.exists()  # nobody knows yet whether memory holds it
    fake_rsync.install(scene, f"[ $phase != list ] || until [ -e {calls} ]; do sleep 0.01; done")
    scene.night()
    pid, tree = calls.read_text().split()
    assert tree == f"{scene.source}/"
    assert not psutil.pid_exists(int(pid))


def test_a_tree_whose_folders_memory_cannot_hold_is_not(
    scene: Scene, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.configure()
    monkeypatch.setenv("PATH", scene.environ()["PATH"])
    (mirror,) = load(scene.config).mirrors
    with open_source(mirror).listed(expected=1 << 40) as listing:
        assert list(listing.lines())
    assert not calls.exists()
    with open_source(mirror).listed(expected=3):
        until(calls.exists, "find is called")


def test_a_tree_of_which_rsync_leaves_out_a_part_is_not(scene: Scene, calls: Path) -> None:
    rules = scene.folder / "rules"
    rules.write_text("/big/\n")
    scene.night()
    scene.configure(exclude=["/big/"])
    scene.night()
    scene.configure(exclude_from=str(rules))
    scene.night()
    assert not calls.exists()


def test_how_find_ends_is_nobodys_business(scene: Scene) -> None:
    scene.fake_program("find", "#!/bin/sh\necho no >&2\nexit 1\n")
    scene.night()
    result = scene.night("--json")
    assert result.mirror["result"] == "published"
    assert result.mirror["warnings"] == []


@pytest.fixture
def tree() -> Iterator[Path]:
    """Where every user may come."""
    tree = Path(tempfile.mkdtemp(prefix="snapmirror-ahead.", dir="/var/tmp"))
    tree.chmod(0o755)
    (tree / "open" / "below").mkdir(parents=True)
    (tree / "open" / "file").touch()
    (tree / "-closed").mkdir()
    yield tree
    shutil.rmtree(tree)


def read_by_find(tree: Path, *before: str) -> set[str]:
    """The folders that find reads, below the tree; it says nothing meanwhile."""
    log = tree.parent / f"{tree.name}.log"
    try:
        argv = [*before, *folders_argv(f"{tree}/")]
        done = subprocess.run(
            ["strace", "--output", log, "--decode-fds=path", "--trace=getdents64,statx,newfstatat", *argv],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout + done.stderr == ""
        text = log.read_text()
        assert '"file"' not in text  # files are not looked at
        below = {line.split(">")[0].split("<")[1] for line in text.splitlines() if line.startswith("getdents64(")}
        return {path.removeprefix(str(tree)) for path in below}
    finally:
        log.unlink(missing_ok=True)


def test_every_folder_is_read_and_no_file_looked_at(tree: Path) -> None:
    assert read_by_find(tree) == {"", "/open", "/open/below", "/-closed"}


def test_folders_that_may_not_be_read_are_passed_over_in_silence(tree: Path) -> None:
    (tree / "-closed").chmod(0)
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    assert read_by_find(tree, *as_nobody) == {"", "/open", "/open/below"}
