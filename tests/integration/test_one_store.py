"""One store, reached in several ways and by several users: one lock, one owner."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapmirror.snapshots.record import make_id
from tests.support import fake_rsync
from tests.support.runner import Result, Scene
from tests.support.waiting import until

USER = 4711
LOCK = ".snapmirror.lock"
SLOW = """
if [ "$phase" = transfer ]; then touch {0}/waiting; while [ ! -e {0}/go ]; do sleep 0.1; done; fi
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="snapmirror-one-store."))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def scene_of(folder: Path, user: int | None = None) -> Scene:
    scene = Scene(folder, user=user)
    for number in range(3):
        (scene.source / f"file{number}").write_text(str(number))
    return scene


def twin(scene: Scene, folder: Path, store: Path, user: int | None = None) -> Scene:
    """Another configuration, with a state folder of its own, of the same store."""
    other = Scene(folder, user=user)
    other.store, other.source = store, scene.source
    other.configure()
    return other


@contextmanager
def slow_night(scene: Scene) -> Iterator[int]:
    """A night is waiting in its transfer; yields its process id."""
    fake_rsync.install(scene, SLOW.format(scene.scratch))
    night = scene.start("run", "--json")
    try:
        until((scene.scratch / "waiting").exists, "the transfer has begun", seconds=60)
        yield night.pid
    finally:
        (scene.scratch / "go").touch()
        assert scene.finish(night).exit_code == 0


def by_state_dir(scene: Scene) -> Scene:
    return twin(scene, scene.folder / "other", scene.store)


def by_symlink(scene: Scene) -> Scene:
    (scene.folder / "link").symlink_to(scene.store)
    return twin(scene, scene.folder / "other", scene.folder / "link")


def by_bind_mount(scene: Scene) -> Scene:
    place = scene.folder / "bound"
    place.mkdir()
    subprocess.run(["mount", "--bind", scene.store, place], check=True)
    return twin(scene, scene.folder / "other", place)


@pytest.mark.parametrize("way", [by_state_dir, by_symlink, by_bind_mount])
def test_whatever_way_leads_to_a_store_it_has_one_lock(scene: Scene, way: Callable[[Scene], Scene]) -> None:
    scene.night()
    (scene.source / "new").write_text("new")
    other = way(scene)
    try:
        with slow_night(scene) as pid:
            for words in (["run"], ["verify"], ["restore", "newest", "/", "--to", other.folder / "out", "--yes"],
                          ["pin", "newest"], ["plan"]):  # fmt: skip
                done = other.command(*words)
                assert done.exit_code == 10, str(done)
                assert f"another run holds the store: pid {pid}, since" in done.stderr
            assert other.command("status", "--json").json["running_since"], "who only asks sees it as well"
        assert len(scene.published()) == 2
        assert other.command("verify", "--full").exit_code == 0
        assert other.night().mirror["result"] == "published"
    finally:
        other.release()
    found = other.command("status", "--json").json if way is by_state_dir else {"findings": []}
    assert found["findings"] == []


def test_a_night_that_another_configuration_kept_away_says_so(scene: Scene) -> None:
    """Its report is no other run's: status and the report file tell that it was skipped."""
    scene.night()
    (scene.source / "new").write_text("new")
    other = by_state_dir(scene)
    with slow_night(scene):
        assert other.command("run").exit_code == 10
    [mirror] = other.command("status", "--json").json["mirrors"]
    assert (mirror["result"], mirror["exit_code"]) == ("failed", 10)
    assert scene.command("status", "--json").json["mirrors"][0]["result"] == "published"


def test_what_a_killed_run_left_is_ended_under_another_configuration(scene: Scene) -> None:
    scene.night()
    (scene.source / "new").write_text("new")
    fake_rsync.install(scene, SLOW.format(scene.scratch))
    night = scene.start("run")
    until((scene.scratch / "waiting").exists, "the transfer has begun", seconds=60)
    night.kill()
    night.communicate()
    assert scene.processes(), "its rsync is still there"
    other = by_state_dir(scene)
    (scene.folder / "go").touch()
    done = other.command("run", "--json")
    assert done.exit_code == 0, str(done)
    assert "took over its lock" in done.stderr
    assert scene.leftovers() == []
    assert other.command("verify", "--full").exit_code == 0


def put_symlink(path: Path) -> None:
    path.symlink_to(path.parent.parent / "victim")


def put_fifo(path: Path) -> None:
    os.mkfifo(path)


def put_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("put", [put_symlink, put_fifo, put_folder])
def test_a_lock_that_is_no_file_is_refused(scene: Scene, put: Callable[[Path], None]) -> None:
    scene.night()
    lock, victim = scene.store / LOCK, scene.folder / "victim"
    lock.unlink()
    victim.write_text("mine")
    put(lock)
    done = scene.command("run")
    assert done.exit_code == 11, str(done)
    assert f"the lock file {lock}" in done.stderr
    assert "remove it" in done.stderr
    assert scene.command("status").exit_code in (0, 3)
    assert victim.read_text() == "mine"


def test_the_lock_is_its_owners_and_empty_between_runs(scene: Scene) -> None:
    scene.night()
    lock = scene.store / LOCK
    assert (lock.stat().st_mode & 0o7777, lock.stat().st_uid) == (0o600, os.geteuid())
    assert not lock.read_text().strip()
    assert scene.command("list", "--json").exit_code == 0


NETWORK = """
import json, sys
from snapmirror import machine
from snapmirror.config import load
from snapmirror.errors import LockedError
from snapmirror.storage.run_lock import run_lock
from pathlib import Path
mounts, config = Path(sys.argv[1]), load(Path(sys.argv[2]))
machine._MOUNTINFO = mounts
try:
    with run_lock(config):
        print("taken over")
except LockedError as error:
    print(error.message, error.hint)
"""


@pytest.mark.parametrize(
    ("filesystem", "options", "kept"),
    [("ext4", "rw", False), ("nfs4", "rw,vers=4.2", False), ("nfs", "rw,nolock", True), ("9p", "rw", True),
     ("fuse.sshfs", "rw", True)],
)  # fmt: skip
def test_a_claim_of_another_machine(scene: Scene, filesystem: str, options: str, kept: bool) -> None:
    """It is dead where its lock would be seen here; where locks stay on each machine, nobody can know."""
    lock, device = scene.store / LOCK, scene.store.stat().st_dev
    owner = {"pid": 1, "since": 1e9, "run": "r", "host": "elsewhere", "machine": "m", "user": os.geteuid()}
    lock.write_text(json.dumps(owner))
    mounts = scene.folder / "mountinfo"
    mounts.write_text(f"1 0 {os.major(device)}:{os.minor(device)} / / rw - {filesystem} source {options}\n")
    argv = [scene.argv()[0], "-c", NETWORK, str(mounts), str(scene.config)]
    told = subprocess.run(argv, env=scene.environ(), capture_output=True, text=True, check=True, cwd="/").stdout
    if kept:
        assert "another machine's run holds the store: pid 1 on elsewhere, since" in told
        assert f"remove {lock}" in told
    else:
        assert told == "taken over\n"


# --- whose store it is


def as_root(scene: Scene, *words: str) -> Result:
    """The same configuration, used by root."""
    user, scene.user = scene.user, None
    try:
        return scene.command(*words)
    finally:
        scene.user = user


def test_root_is_kept_from_a_users_store(shared: Path) -> None:
    scene = scene_of(shared / "scene", USER)
    for nights in range(2):  # before the first night as well as later
        owners = {path: path.lstat().st_uid for path in scene.store.rglob("*")}
        done = as_root(scene, "run")
        assert done.exit_code == 11, str(done)
        assert f"the store {scene.store} belongs to user {USER}; a run as root" in done.stderr
        assert f"run it as user {USER}" in done.stderr
        assert {path: path.lstat().st_uid for path in scene.store.rglob("*") if path.name != LOCK} == {
            path: uid for path, uid in owners.items() if path.name != LOCK
        }
        doctor = as_root(scene, "doctor")
        assert doctor.exit_code == 11
        assert "; a run as root" in doctor.stdout
        (scene.source / f"night{nights}").write_text("new")
        assert scene.night().mirror["result"] == "published", "the user's own nights go on"
    assert as_root(scene, "list").exit_code == 0
    assert as_root(scene, "restore", "newest", "/", "--to", str(shared / "out"), "--yes").exit_code == 0
    assert as_root(scene, "verify", "--full").exit_code == 0
    scene.night()


@pytest.mark.parametrize("words", [("run",), ("verify",)])
def test_a_state_folder_that_root_has_made_is_the_users(shared: Path, words: tuple[str, ...]) -> None:
    scene = scene_of(shared / "scene", USER)
    os.chown(scene.folder, USER, USER)
    scene.night()
    shutil.rmtree(scene.state)
    assert as_root(scene, *words).exit_code == (11 if words == ("run",) else 0)
    assert scene.state.stat().st_uid == USER
    scene.night()


def test_a_state_folder_of_roots_is_named_with_what_mends_it(shared: Path) -> None:
    scene = scene_of(shared / "scene", USER)
    scene.night()
    os.chown(scene.state, 0, 0)
    scene.state.chmod(0o700)
    done = scene.command("run")
    assert done.exit_code == 11, str(done)
    assert f"the folder {scene.state} for locks and reports belongs to root, and this is" in done.stderr
    command = done.stderr.partition("as root: ")[2].partition(";")[0]
    assert command == f"chown -R {USER} {scene.state}"
    subprocess.run(command, shell=True, check=True)  # noqa: S602  (what the hint says is typed into a shell)
    scene.night()


def test_what_root_finds_damaged_in_a_users_store_the_user_knows(shared: Path) -> None:
    scene = scene_of(shared / "scene", USER)
    scene.night()
    file = scene.slots()[1] / "file1"
    times = file.stat()
    file.write_text("X")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert as_root(scene, "verify", "--full").exit_code == 14
    assert scene.command("status", "--json").json["mirrors"][0]["damaged_files"] == 1
    assert scene.command("verify", "--found").exit_code == 14
    assert scene.command("verify", "--found", "--heal").exit_code == 3
    assert scene.command("verify", "--found").exit_code == 0
    scene.night()


def test_root_restores_first_and_the_users_night_gets_past_the_lock(shared: Path) -> None:
    scene = scene_of(shared / "scene", USER)
    scene.night()
    (scene.store / LOCK).unlink()
    assert as_root(scene, "verify").exit_code == 0
    assert (scene.store / LOCK).stat().st_uid == USER
    scene.night()


def test_a_store_in_which_root_has_been_says_so_and_how_to_mend_it(shared: Path) -> None:
    scene = scene_of(shared / "scene", USER)
    scene.night()
    private = scene.home / ".snapmirror"
    for path in (private / "record.json", private / "manifests"):  # as root's night leaves them
        os.chown(path, 0, 0)
    for words in (["run"], ["doctor"]):
        done = scene.command(*words)
        assert done.exit_code == 11, str(done)
        assert f"root has written to the store {scene.store}, which belongs to user {USER}" in done.stdout + done.stderr
    command = done.stdout.partition("as root: ")[2].partition("; then")[0]
    assert command.startswith(f"find {scene.store} -user root")
    subprocess.run(command, shell=True, check=True)  # noqa: S602  (what the hint says is typed into a shell)
    scene.night()


def test_roots_store_in_a_folder_of_somebody_else_stays_usable(scene: Scene) -> None:
    """As it was set up before this was looked at: root's history, in a folder of a user."""
    scene.night()
    os.chown(scene.store, USER, USER)
    scene.night(expect=(3,))  # it is root's again
    scene.night()


def test_another_user_on_roots_store(shared: Path) -> None:
    scene = scene_of(shared / "scene")
    scene.night()
    scene.store.chmod(0o755)
    other = twin(scene, shared / "other", scene.store, USER)
    for words in (["run"], ["verify"], ["pin", "newest"], ["list"], ["find", "x"], ["diff", "newest", "newest"],
                  ["restore", "newest", "/", "--to", str(shared / "out"), "--yes"], ["plan"], ["doctor"]):  # fmt: skip
        done = other.command(*words)
        assert done.exit_code == 11, str(done)
        assert "belongs to root" in done.stderr + done.stdout, str(done)
        assert "sudo" in done.stderr + done.stdout


# --- the way to it


def test_a_link_of_somebody_else_on_the_way_is_named_at_once(shared: Path) -> None:
    scene = scene_of(shared / "scene")
    real, link = scene.store, shared / "link"
    link.symlink_to(real.parent)
    os.chown(link, USER, USER, follow_symlinks=False)
    scene.store = link / "store"
    scene.configure()
    for words in (["run"], ["doctor"], ["init"], ["list"], ["verify"]):
        done = scene.command(*words)
        assert done.exit_code == 11, str(done)
        told = done.stdout + done.stderr
        assert f"leads through the symlink {link}, which user {USER} can point" in told
        assert f'set store.path = "{real}"' in told
    assert not (real / LOCK).exists()
    os.chown(link, 0, 0, follow_symlinks=False)
    scene.night()
    scene.night()
    newest = max(scene.published())
    until(lambda: make_id(datetime.now(UTC)) > newest, "a snapshot of the same second is dated ahead of the clock")
    assert scene.command("doctor").exit_code in (0, 3)
