"""What another user of this machine can do to a store: nothing, unless he was let in to read.

The other user is `nobody`; the mirrored tree holds what is open to everybody, and what belongs to the user with his
number. Every place that he might come by lies in a folder that he may enter, else the tests would prove nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.errors import StorageError
from snapmirror.model import NOTICE
from snapmirror.storage import export_lock
from snapmirror.storage.encryption import Places
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from snapmirror.tools import loop
from tests.support.fingerprint import fingerprint
from tests.support.locking import held_by_a_stranger
from tests.support.runner import Scene
from tests.support.storage import TINY, hide_dm_crypt, holding_process, stack_image
from tests.support.storage import Scene as Storage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="several users, loop devices and mounts need root")
NOBODY = 65534
STACKS = ["folder", "xfs", "ext4"]
# Goes where it can from a folder on, and says what it could enter, read and write.
LOOK = """
import os, sys
for folder, _, files in os.walk(sys.argv[1]):
    print("entered", folder)
    for name in files:
        path = os.path.join(folder, name)
        for what, flags in ("read", os.O_RDONLY), ("wrote", os.O_WRONLY | os.O_APPEND):
            try:
                descriptor = os.open(path, flags | os.O_NONBLOCK)
                if what == "wrote":
                    os.write(descriptor, b"x")
                print(what, path)
            except OSError:
                pass
    for name in "new",:
        try:
            os.mkdir(os.path.join(folder, name))
            print("wrote", folder)
        except OSError:
            pass
"""
# Tries to open a folder until its stdin is closed, and says whether that has ever worked.
LURK = """
import os, select, sys
print("ready", flush=True)
seen = False
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        os.close(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY))
        seen = True
    except OSError:
        pass
print("seen" if seen else "never", flush=True)
"""
Make = Callable[..., Scene]


def as_nobody(*argv: str | Path, user: int = NOBODY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, argv)),
        user=user,
        group=user,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def look(place: Path) -> str:
    """What the other user finds, from this place on: the words of LOOK."""
    done = as_nobody("/usr/bin/python3", "-c", LOOK, place)
    assert done.returncode == 0, done.stderr
    return done.stdout


def enters(place: Path, user: int = NOBODY) -> bool:
    """Whether a user may go into a folder."""
    return as_nobody("test", "-x", place, user=user).returncode == 0


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="snapmirror-local.", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    Scene(folder / "scene").release()
    shutil.rmtree(folder)


@pytest.fixture
def make(place: Path) -> Make:
    """A scene that was initialised, with what others may write in its source."""

    def made(stack: str = "xfs", encryption: str = "none") -> Scene:
        images = place / "images"
        images.mkdir()
        scene = Scene(place / "scene", image={} if stack == "folder" else stack_image(images, encryption, stack))
        scene.source.chmod(0o777)
        scene.store.chmod(0o755)
        for name, mode, owner in (("open", 0o666, 0), ("public", 0o644, 0), ("his", 0o600, NOBODY), ("root", 0o600, 0)):
            file = scene.source / name
            file.write_text(name)
            file.chmod(mode)
            os.chown(file, owner, owner)
        (scene.source / "dir").mkdir()
        (scene.source / "dir").chmod(0o777)
        initialise(load(scene.config), workload=TINY)
        return scene

    return made


def open_up(scene: Scene) -> None:
    """Make the store what it was before: its root can be entered by everybody."""
    with open_store(load(scene.config)):
        scene.store.chmod(0o755)


# --- the store


@pytest.mark.parametrize("stack", STACKS)
def test_nobody_gets_into_an_open_store(make: Make, stack: str) -> None:
    scene = make(stack)
    scene.night()
    scene.night()
    with open_store(load(scene.config)):
        before = [fingerprint(path) for path in scene.slots().values()]
        assert len(before) == 2
        assert mode_of(scene.store) == 0o700
        assert look(scene.store) == ""
        for name in ("open", "his"):
            written = as_nobody("dd", "if=/etc/hostname", "conv=notrunc", f"of={scene.home}/backup.1/{name}")
            assert "Permission denied" in written.stderr
        assert [fingerprint(path) for path in scene.slots().values()] == before
    assert scene.leftovers() == []


@pytest.mark.parametrize("stack", STACKS)
def test_a_store_that_was_open_is_closed_with_a_word(make: Make, stack: str, caplog: pytest.LogCaptureFixture) -> None:
    scene = make(stack)
    scene.night()
    open_up(scene)
    caplog.set_level(NOTICE)
    caplog.clear()
    with open_store(load(scene.config)):
        assert mode_of(scene.store) == 0o700
        assert "other users could enter the store (mode 755); it is closed to them now (mode 700)" in caplog.text
    caplog.clear()
    with open_store(load(scene.config)):
        assert mode_of(scene.store) == 0o700
    assert "other users" not in caplog.text


@pytest.mark.parametrize(("stack", "how"), [("xfs", "run"), ("ext4", "mount")])
def test_a_store_that_was_open_is_closed_before_anybody_sees_it(make: Make, stack: str, how: str) -> None:
    """Who has opened a folder in it keeps it, whatever its root looks like later."""
    scene = make(stack)
    scene.night()
    with loop.attached(Path(scene.image["file"])) as device:  # as an older version left it
        aside = scene.folder / "aside"
        aside.mkdir(mode=0o700)
        subprocess.run(["mount", device.device, aside], check=True)
        aside.chmod(0o755)
        subprocess.run(["umount", aside], check=True)
    lurking = subprocess.Popen(
        ["/usr/bin/python3", "-c", LURK, scene.home / "backup.1"], user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert lurking.stdout is not None
    assert lurking.stdout.readline() == "ready\n"
    opened = scene.command(how)
    assert (opened.exit_code, "other users could enter the store" in opened.stderr) == (0, True), str(opened)
    assert lurking.communicate("")[0] == "never\n"
    assert scene.command("umount").exit_code == 0


def test_a_new_folder_is_closed_without_a_warning(make: Make) -> None:
    """There is nothing in it that others could have read."""
    scene = make("folder")
    scene.store.chmod(0o755)
    assert "other users could enter the store (mode 755)" in scene.night().stderr
    assert mode_of(scene.store) == 0o700


def test_an_acl_lets_nobody_in(make: Make) -> None:
    scene = make("folder")
    scene.night()
    subprocess.run(["setfacl", "--modify", f"user:{NOBODY}:rwx", scene.store], check=True)
    assert enters(scene.store)
    scene.night(expect=(3,))
    assert not enters(scene.store)


def test_a_folder_with_other_things_in_it_is_refused(make: Make) -> None:
    """It may be /srv, or /tmp: closing it would be worse."""
    scene = make("folder")
    scene.night()
    (scene.store / "another mirror" / ".snapmirror").mkdir(parents=True)
    (scene.store / "lost+found").mkdir()
    scene.store.chmod(0o755)
    scene.night(expect=(3,))
    assert mode_of(scene.store) == 0o700
    scene.store.chmod(0o755)
    (scene.store / "strange").touch()
    refused = scene.night(expect=(11,))
    assert "other users may enter the store" in refused.stderr
    assert "'strange', which is not snapmirror's" in refused.stderr
    assert mode_of(scene.store) == 0o755
    scene.store.chmod(0o700)
    scene.night()


def test_the_store_of_an_ordinary_user(place: Path) -> None:
    scene = Scene(place / "scene", user=NOBODY)
    (scene.source / "file").write_text("0")
    scene.store.chmod(0o755)
    assert "other users could enter" in scene.command("init").stderr
    scene.night()
    scene.store.chmod(0o770)  # a group that somebody has let in could write as well
    assert "other users could enter" in scene.night(expect=(0, 3)).stderr
    assert (mode_of(scene.store), scene.store.stat().st_uid) == (0o700, NOBODY)
    assert not enters(scene.store, user=12345)
    # root looks after it, and does not take it away
    scene.store.chmod(0o755)
    scene.user = None
    assert scene.command("verify").exit_code == 0
    assert (mode_of(scene.store), scene.store.stat().st_uid) == (0o700, NOBODY)
    # a folder of root's, which he may only write to, he cannot close
    scene.user = NOBODY
    os.chown(scene.store, 0, NOBODY)
    scene.store.chmod(0o770)
    refused = scene.night(expect=(11,))
    assert "that cannot be changed: it belongs to somebody else" in refused.stderr
    assert f"chown {NOBODY} {scene.store}; chmod 700 {scene.store}" in refused.stderr


def test_roots_store_in_somebody_elses_folder_becomes_roots(make: Make) -> None:
    scene = make("folder")
    scene.night()  # (without root's history in it, it would be that user's store, and root refused)
    os.chown(scene.store, NOBODY, NOBODY)
    assert enters(scene.store)
    scene.night(expect=(3,))
    assert scene.store.stat().st_uid == 0
    assert not enters(scene.store)


@pytest.mark.parametrize("trick", ["folder", "symlink", "everybody's"])
def test_nobody_moves_the_mount_point(make: Make, place: Path, trick: str) -> None:
    scene = make("xfs")
    his = place / "his"
    victim = place / "victim"
    victim.mkdir()
    if trick == "symlink":
        his.symlink_to(victim)
        os.lchown(his, NOBODY, NOBODY)
    else:
        his.mkdir()
        his.chmod(0o777 if trick == "everybody's" else 0o755)
        if trick == "folder":
            os.chown(his, NOBODY, NOBODY)
    scene.store = his / "store"
    scene.configure()
    refused = scene.command("mount")
    assert (refused.exit_code, f"{his} is not root's alone" in refused.stderr) == (11, True), str(refused)
    assert list(victim.iterdir()) == []
    assert scene.leftovers() == []


# --- reading


def test_who_may_read_a_store_that_is_mounted_for_browsing(make: Make) -> None:
    scene = make("xfs")
    scene.night()
    told = scene.command("mount")
    assert (told.exit_code, "read-only, for root alone" in told.stdout) == (0, True), str(told)
    assert look(scene.store) == ""
    told = scene.command("mount", "--readable")
    assert (told.exit_code, "read-only, for every user" in told.stdout) == (0, True), str(told)
    found = look(scene.store)
    assert f"read {scene.home}/backup.1/public\n" in found
    assert f"{scene.home}/backup.1/root" not in found
    assert ".snapmirror" not in found
    assert "wrote" not in found
    assert scene.command("mount", "--readable").stdout.startswith("the snapshots are already in ")
    told = scene.command("mount", "--readable", "--json").json
    assert (told["mounted"], told["already_mounted"]) == (False, True), "by this call, and before it"
    assert scene.command("mount", "--json").json["readable"] is False
    assert look(scene.store) == ""
    inside = subprocess.run(scene.argv("umount"), env=scene.environ(), cwd=scene.store, check=False)
    assert inside.returncode == 0, "begun in the store, it is not in its own way"
    # a night after it closes the store
    assert scene.command("mount", "--readable").exit_code == 0
    scene.night()
    with open_store(load(scene.config)):
        assert look(scene.store) == ""
    refused = make_plain(scene).command("mount", "--readable")
    assert (refused.exit_code, "only the file system of an image" in refused.stderr) == (2, True)


def make_plain(scene: Scene) -> Scene:
    scene.image = {}
    scene.configure()
    return scene


def test_what_a_store_stands_on_is_closed_too(make: Make, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_dm_crypt(place / "bin", monkeypatch.setenv)
    scene = make("ext4", "luks1")
    places = Places(Path(scene.image["file"]))
    places.folder.parent.chmod(0o755)  # as an older version left it
    with open_store(load(scene.config)) as store:
        assert mode_of(places.folder.parent) == 0o700
        assert look(places.folder.parent) == ""
        assert store.block is not None
        assert store.block.device.stat().st_mode & 0o007 == 0
        assert stat.S_IMODE(places.export.stat().st_mode) & 0o077 == 0
    for path in (scene.state, *scene.state.glob("*.lock")):
        assert mode_of(path) & 0o077 == 0 or path == scene.state, path
    assert mode_of(Path(f"{scene.image['file']}.json")) == 0o600


# --- locks


def test_a_strangers_lock_on_the_image_is_named(make: Make) -> None:
    scene = make("xfs")
    record = Path(f"{scene.image['file']}.json")
    record.chmod(0o644)  # as an older version made it
    assert as_nobody("flock", "--shared", "--nonblock", record, "true").returncode == 0
    stranger = held_by_a_stranger(record)
    refused = scene.night(expect=(11,))
    assert f"is in use by flock (pid {stranger.pid})" in refused.stderr
    stranger.communicate()
    assert mode_of(record) == 0o600
    assert as_nobody("flock", "--shared", "--nonblock", record, "true").returncode != 0
    scene.night()


def test_every_lock_is_its_owners_alone_and_names_who_holds_it(make: Make, place: Path) -> None:
    scene = make("folder")
    password = place / "password"
    password.write_text("a quite long password")
    password.chmod(0o600)
    scene.sections = {"export": {"port": 4450}, "export.users": {"anna": str(password)}}
    scene.configure()
    scene.night()
    locks = sorted([*scene.state.glob("*.lock"), scene.store / ".snapmirror.lock"])
    assert len(locks) == 3, "of the run, and two of the export"
    scene.state.chmod(0o755)
    for lock in locks:
        assert mode_of(lock) == 0o600
        lock.chmod(0o644)
    scene.night()
    assert [mode_of(lock) for lock in locks] == [0o600] * len(locks)
    [lock] = [lock for lock in locks if "export" not in lock.name]
    stranger = held_by_a_stranger(lock)
    refused = scene.night(expect=(10,))
    assert f"the store is held by flock (pid {stranger.pid})" in refused.stderr
    stranger.communicate()
    with export_lock.serving(load(scene.config)):
        again = scene.command("export", "serve")
    assert f"exported already, by python (pid {os.getpid()})" in again.stderr


def test_another_run_is_named(place: Path) -> None:
    storage = Storage(place / "storage")
    initialise(storage.config, workload=TINY)
    holder = holding_process(storage)
    try:
        with (
            pytest.raises(StorageError, match=rf"is in use by another snapmirror \(pid {holder.pid}\)"),
            open_store(storage.config),
        ):
            pass
    finally:
        holder.communicate()
        storage.clean_up()
