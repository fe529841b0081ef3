"""What the ZFS backend promises beyond the contract of stores: what others own stays, their pools and snapshots too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.runner import Scene
from tests.support.zfs_scene import ZfsScene

pytestmark = pytest.mark.timeout(2400)
KILLER = """#!/bin/sh
real=/usr/sbin/zfs
if [ "$1" = snapshot ]; then
    {after}
    kill -KILL $PPID
    sleep 5
fi
exec $real "$@"
"""


def zfs(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@contextmanager
def by_hand(scene: ZfsScene) -> Iterator[str]:
    """The pool is imported by its administrator; yields the mirror's dataset."""
    zfs("zpool", "import", "-N", "-d", str(scene.disk), scene.pool)
    try:
        yield f"{scene.pool}/store/{scene.name}"
    finally:
        zfs("zpool", "export", scene.pool)


def ids(scene: Scene) -> list[str]:
    return [one["id"] for one in scene.command("list", "--json").json]


@pytest.mark.parametrize("after", ["", '$real "$@"'], ids=["before", "after"])
def test_killed_at_the_moment_of_sealing(scene: ZfsScene, after: str) -> None:
    """There is no moment in between: a snapshot is there with all that belongs to it, or not at all."""
    (scene.source / "file").write_text("one")
    first = scene.night().mirror["snapshot"]
    (scene.source / "file").write_text("another")
    scene.fake_program("zfs", KILLER.format(after=after))
    assert scene.command("run").exit_code not in (0, 3)
    (scene.programs / "zfs").unlink()
    result = scene.night()
    found = ids(scene)
    assert (found[0], found[-1]) == (result.mirror["snapshot"], first)
    assert len(found) == (3 if after else 2)
    with scene.browsing():
        assert len(scene.published()) == len(found)
        assert (scene.slots()[1] / "file").read_text() == "another"
        manifests = {path.name.removesuffix(".zst") for path in (scene.home / ".snapmirror" / "manifests").iterdir()}
    assert manifests == set(found)
    assert scene.command("verify", "--full").exit_code == 0


def test_snapshots_and_holds_of_others_stay(scene: ZfsScene) -> None:
    scene.configure(keep_last=1)
    (scene.source / "file").write_text("old")
    first = scene.night().mirror["snapshot"]
    with by_hand(scene) as dataset:
        zfs("zfs", "snapshot", f"{dataset}@mine")
        zfs("zfs", "hold", "somebody", f"{dataset}@{first}")
    (scene.source / "file").write_text("new")
    result = scene.night(expect=(3,))
    assert "dataset is busy" in str(result.json["warnings"]) + str(result.mirror["warnings"]), str(result)
    assert ids(scene) == [result.mirror["snapshot"], first]
    with by_hand(scene) as dataset:
        zfs("zfs", "release", "somebody", f"{dataset}@{first}")
    (scene.source / "file").write_text("newer")
    last = scene.night().mirror["snapshot"]
    assert ids(scene) == [last]
    with by_hand(scene) as dataset:
        names = zfs("zfs", "list", "-H", "-t", "snapshot", "-o", "name", "-d", "1", dataset).split()
    assert sorted(names) == sorted([f"{dataset}@mine", f"{dataset}@{last}"])


def test_a_big_file_is_patched_in_place(scene: ZfsScene) -> None:
    big = scene.source / "disk.raw"
    big.write_bytes(os.urandom(20 << 20))
    scene.night()
    with big.open("r+b") as file:
        file.seek(5 << 20)
        file.write(b"sector" * 80)
    os.utime(big, (1, 1_700_000_000))
    scene.night()
    newest, first = scene.command("list", "--json").json
    assert first["written_bytes"] > 20 << 20
    assert newest["written_bytes"] < 1 << 20
    assert newest["new_bytes"] == 20 << 20


def test_damage_on_the_disk_is_found(scene: ZfsScene) -> None:
    content = os.urandom(300_000)
    (scene.source / "file").write_bytes(content)
    scene.night()
    assert scene.command("verify", "--json").json["scrub"] == []
    stored = scene.disk.read_bytes()
    place = stored.find(content[1000:1512])
    assert place > 0
    with scene.disk.open("r+b") as file:
        file.seek(place)
        file.write(b"damage")
    result = scene.command("verify")
    assert result.exit_code == 14, str(result)
    assert "scrub: " in result.stdout
    told = scene.command("status", "--json")
    assert told.exit_code == 3 and any("the last scrub: " in one for one in told.json["findings"]), str(told)


def test_a_dataset_in_somebodys_pool(tmp_path: Path) -> None:
    """Nothing but the store below it is made; what snapmirror did not make is refused; the pool stays imported."""
    disk, pool = tmp_path / "disk", f"tank{os.getpid()}"
    with disk.open("xb") as file:
        file.truncate(96 << 20)
    zfs("zpool", "create", "-m", "none", pool, str(disk))
    try:
        zfs("zfs", "create", f"{pool}/backup")
        key = tmp_path / "key"
        key.write_text("correct horse battery staple\n")
        key.chmod(0o600)
        native = {"encryption": "native", "key_file": str(key)}
        scene = ZfsScene(tmp_path / "scene", zfs={"dataset": f"{pool}/backup", **native})
        before = zfs("zfs", "get", "-H", "-o", "property,value", "all", f"{pool}/backup")
        made = scene.finish(scene.start("init"), timeout=2000)  # emulated, with encryption, on a busy machine
        assert made.exit_code == 0, str(made)
        again = scene.command("init")
        assert again.exit_code == 11 and "ready already" in again.stderr, str(again)
        (scene.source / "file").write_text("secret")
        result = scene.night()
        assert ids(scene) == [result.mirror["snapshot"]]
        assert not any(pool in line for line in Path("/proc/self/mountinfo").read_text().splitlines())
        assert zfs("zfs", "get", "-H", "-o", "value", "keystatus", f"{pool}/backup/store").strip() == "unavailable"
        _nothing_goes_into_clear(scene, f"{pool}/backup/store")
        key.write_text("wrong horse battery staple\n")
        refused = scene.command("list")
        assert refused.exit_code == 11 and "key does not open" in refused.stderr, str(refused)
        after = zfs("zfs", "get", "-H", "-o", "property,value", "all", f"{pool}/backup")
        assert _settled(before) == _settled(after)
        zfs("zfs", "create", "-p", f"{pool}/other/store")
        stranger = ZfsScene(tmp_path / "stranger", zfs={"dataset": f"{pool}/other"})
        refused = stranger.command("init")
        assert refused.exit_code == 11 and "did not make" in refused.stderr, str(refused)
    finally:
        zfs("zpool", "destroy", "-f", pool)


def _nothing_goes_into_clear(scene: Scene, base: str) -> None:
    """A dataset that somebody has put in the place of ours, without encryption or with another key, gets no file."""
    for name in (scene.name, ""):
        ours = f"{base}/{name}" if name else base
        marks = ["org.snapmirror:mirror=" + name] if name else ["org.snapmirror:id=1", "org.snapmirror:ready=yes"]
        legacy = ["mountpoint=legacy", *marks]
        zfs("zfs", "rename", ours, f"{ours}-away")
        for cipher, said in (("off", "is not encrypted"), ("aes-256-gcm", "is encrypted otherwise")):
            if cipher != "off" and not name:
                continue  # (then the key does not fit)
            key = ["keyformat=passphrase", f"keylocation=file://{scene.zfs['key_file']}"] if cipher != "off" else []
            words = [word for one in (f"encryption={cipher}", *key, *legacy) for word in ("-o", one)]
            zfs("zfs", "create", *words, ours)
            refused = scene.command("run")
            assert refused.exit_code == 11 and f"{ours} {said}" in refused.stderr, str(refused)
            assert zfs("zfs", "get", "-H", "-o", "value", "mounted", ours).strip() == "no"
            zfs("zfs", "destroy", ours)
        zfs("zfs", "rename", f"{ours}-away", ours)
    assert len(ids(scene)) == 1


@pytest.mark.parametrize("name", ["", "current"])
def test_a_symlink_in_the_place_of_a_mount_point(scene: ZfsScene, tmp_path: Path, name: str) -> None:
    (scene.source / "file").write_text("ours")
    scene.night()
    victim = tmp_path / "victim"
    (victim / "current").mkdir(parents=True)
    with by_hand(scene):
        there = tmp_path / "there"
        there.mkdir()
        zfs("mount", "-t", "zfs", f"{scene.pool}/store", str(there))
        place = there / scene.name / name
        place.rename(there / "away")
        place.symlink_to(victim / name)
        zfs("umount", str(there))
    refused = scene.command("run")
    assert refused.exit_code == 11 and "is a symlink, not a folder" in refused.stderr, str(refused)
    assert os.listdir(victim) == ["current"] and not os.listdir(victim / "current")


def _settled(properties: str) -> list[str]:
    """Without the numbers of space, which everything in a pool changes."""
    changing = ("used", "available", "referenced", "written", "logical", "compressratio", "refcompressratio")
    return [line for line in properties.splitlines() if not line.startswith(changing)]


def test_a_retired_mirror_takes_nothing_of_others_along(scene: ZfsScene) -> None:
    """The whole dataset goes, unless something in it is not ours; then a mirror of that name begins anew."""
    (scene.source / "file").write_text("one")
    first = scene.night().mirror["snapshot"]
    words = ("retire", scene.name, "--yes", "--accept-changes")
    scene.command("pin", "newest")
    assert scene.command(*words).exit_code == 2
    with by_hand(scene) as dataset:
        zfs("zfs", "snapshot", f"{dataset}@mine")
    refused = scene.command(*words, "--with-pinned")
    assert refused.exit_code == 11 and "@mine" in refused.stderr, str(refused)
    assert ids(scene) == [first]
    with by_hand(scene) as dataset:
        zfs("zfs", "destroy", f"{dataset}@mine")
    scene.fake_program("zfs", '#!/bin/sh\n/usr/sbin/zfs "$@" || exit\n[ "$1" != rename ] || kill -KILL $PPID\n')
    assert scene.command(*words, "--with-pinned").exit_code not in (0, 3)
    (scene.programs / "zfs").unlink()
    scene.command("forget", "99", "--yes")  # there is none, but what was begun is completed
    with by_hand(scene) as dataset:
        assert dataset not in zfs("zfs", "list", "-H", "-r", "-o", "name", scene.pool).splitlines()
        assert "retired:" not in zfs("zfs", "list", "-H", "-r", "-o", "name", scene.pool)
    (scene.source / "file").write_text("another")
    scene.night()
    assert len(ids(scene)) == 1
