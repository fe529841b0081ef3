"""What a night may rely on, whatever keeps its history. Every test runs on every backend of `conftest`."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.support import fake_rsync
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import History, Result, Scene
from tests.support.trees import Tree

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root"),
    pytest.mark.timeout(2400),
]
LINKS = ("link", "link_over", "link_twins", "break_link", "lose_leader", "new_leader", "write_through_link",
         "attributes_through_link")  # fmt: skip
TYPES = ("change_type", "change_type_keeping_time", "directory_becomes_file", "file_becomes_directory", "swap")


HALF_WAY = """
if [ "$phase" = transfer ]; then  # half of the names arrive, the next file in part
    for slot in "$@"; do :; done
    for word in "$@"; do
        case "$word" in
            --files-from=*)
                list=${{word#--files-from=}}
                half=$(($(tr --delete --complement '\\0' <"$list" | wc --bytes) / 2))
                next=$(sed --null-data --quiet "$((half + 1))p" "$list" | tr --delete '\\0')
                head --zero-terminated --lines=$half "$list" >"$list.left"; cat "$list.left" >"$list"; rm "$list.left"
        esac
    done
    "$real" "$@"
    case "$*" in
        *--inplace*)
            if [ -f "$slot$next" ] && [ ! -L "$slot$next" ]; then
                head --bytes=1000 "{source}/$next" | dd of="$slot$next" conv=notrunc status=none
            fi ;;
    esac
    exit 12
fi"""


class Told:
    """A scene, the tree that it mirrors, and the history that must stay true."""

    def __init__(self, scene: Scene, seed: str, entries: int = 30) -> None:
        self.scene, self.rng = scene, random.Random(seed)
        self.tree, self.history = Tree(scene.source), History(scene)
        self.tree.grow(random_kinds(self.rng, entries))
        self.tree.settle()

    def day(self, *names: str, others: int = 6) -> None:
        chosen = [(name, self.rng.getrandbits(16)) for name in names]
        live_a_day(self.tree, [*chosen, *random_changes(self.rng, others)])

    def night(self, *words: str, expect: tuple[int, ...] = (0,)) -> Result:
        """A night that publishes: the newest snapshot is the source, all others are what they were."""
        self.tree.settle()
        source = self.tree.fingerprint()
        result = self.scene.night("--accept-changes", *words, expect=expect)
        assert self.scene.leftovers() == []
        with self.scene.browsing():
            assert self.history.check()[0] == result.mirror["snapshot"]
            self.history.check_newest(source, full="--full" in words)
        self.tree.published()
        return result

    def failing(self, expect: tuple[int, ...] = (12,)) -> None:
        """A night that publishes nothing and changes nothing."""
        before = self.ids()
        self.scene.night("--accept-changes", expect=expect)
        assert self.scene.leftovers() == []
        assert self.ids() == before

    def ids(self) -> list[str]:
        with self.scene.browsing():
            return self.history.check()


def test_nights_of_every_change(scene: Scene) -> None:
    """Links are regrouped, types change, names are strange; sealed snapshots stay, the newest is the source."""
    scene.configure(keep_last=2)
    told = Told(scene, "every change", entries=45)
    odd = scene.source / ".zfs"
    odd.mkdir()
    (odd / "snapshot").write_text("not a door")
    told.night()
    for number in range(4):
        told.day(*LINKS, *TYPES, others=8)
        told.night(*(["--full"] if number == 3 else []))
    assert len(told.history.ids) == 2
    result = scene.command("verify", "--full")
    assert result.exit_code == 0, str(result)


def test_a_night_reads_back_what_is_due(scene: Scene) -> None:
    """Here all of it; and nothing that older nights have left is in its way."""
    told = Told(scene, "read back")
    scene.configure(verify={"read_all_within_days": 0})
    told.night()
    told.day(*LINKS)
    assert told.night().mirror["read_back"] is None
    scene.configure(verify={"read_all_within_days": 1})
    told.day()
    known = told.night().mirror["read_back"]
    assert (known["share"], known["damaged"], known["behind_seconds"]) == (0, 0, 0)
    assert known["files"] > 0 and known["completed"] is not None
    assert told.night().mirror["read_back"]["files"] == 0, "nothing is due twice a day"
    shown = scene.command("list")
    assert "0.0% of this pass read back, the last full pass completed" in shown.stdout + shown.stderr


def test_a_quiet_night_moves_nothing(scene: Scene) -> None:
    told = Told(scene, "quiet")
    told.night()
    mirror = told.night().mirror
    assert [mirror[key] for key in ("added", "updated", "attributes", "deleted", "bytes_transferred")] == [0] * 5
    listed = scene.command("list", "--json").json
    assert [one["id"] for one in listed] == told.history.ids
    assert [one["slot"] for one in listed] == [1, 2]


def test_pins_outlast_retention(scene: Scene) -> None:
    scene.configure(keep_last=1)
    told = Told(scene, "pins", entries=8)
    first = told.night().mirror["snapshot"]
    assert scene.command("pin", first).exit_code == 0
    told.day("create", others=0)
    told.night()
    told.day("create", others=0)
    third = told.night().mirror["snapshot"]
    assert told.history.ids == [third, first]
    assert [one["pinned"] for one in scene.command("list", "--json").json] == [False, True]
    assert scene.command("unpin", first).exit_code == 0
    told.day("create", others=0)
    last = told.night().mirror["snapshot"]
    assert told.history.ids == [last]


def test_a_failed_night_costs_nothing_and_is_put_right(scene: Scene) -> None:
    """rsync dies in the middle, in the first night and in later ones; then the source changes its mind."""
    told = Told(scene, "failed", entries=25)
    for _ in range(2):
        fake_rsync.install(scene, HALF_WAY.format(source=scene.source))
        told.failing()
        fake_rsync.remove(scene)
        told.day(*LINKS[:4], *TYPES, others=6)
        told.night()
        told.day("same_size_new_bytes", "append", *LINKS[4:], *TYPES[:2], others=8)
    result = scene.command("verify", "--full")
    assert result.exit_code == 0, str(result)


def test_what_was_fetched_is_not_fetched_again(scene: Scene) -> None:
    told = Told(scene, "fetched", entries=5)
    told.night()
    for number in range(20):
        (scene.source / f"big{number}").write_bytes(told.rng.randbytes(100_000))
    told.tree.settle()
    fake_rsync.ends_with(scene, 12)
    told.failing()
    fake_rsync.remove(scene)
    assert told.night().mirror["bytes_transferred"] < 100_000


def test_leftovers_that_nobody_wants_any_more(scene: Scene) -> None:
    """What the failed night brought is gone from the source, or is again what it was before."""
    told = Told(scene, "leftovers", entries=15)
    kept = scene.source / "kept"
    kept.write_bytes(b"old" * 50_000)
    os.utime(kept, ns=(1_600_000_000 * 10**9,) * 2)
    twin = scene.source / "twin"
    twin.hardlink_to(kept)
    told.night()
    kept.write_bytes(b"new" * 50_000)
    (scene.source / "folder").mkdir()
    (scene.source / "folder" / "file").write_text("too much")
    told.tree.settle()
    fake_rsync.ends_with(scene, 12)
    told.failing()
    fake_rsync.remove(scene)
    kept.write_bytes(b"old" * 50_000)
    os.utime(kept, ns=(1_600_000_000 * 10**9,) * 2)
    (scene.source / "folder" / "file").unlink()
    (scene.source / "folder").rmdir()
    told.night()


def test_what_cannot_be_read_keeps_its_last_version(scene: Scene) -> None:
    """rsync does not bring two names of one file and a third, and says so (23); in place, it has spoilt them before."""
    told = Told(scene, "unreadable", entries=10)
    for name in ("victim.1", "victim.2"):
        (scene.source / name).write_bytes(b"before" * 20_000)
    (scene.source / "victim.3").hardlink_to(scene.source / "victim.1")
    told.tree.settle()
    first = told.night().mirror["snapshot"]
    (scene.source / "victim.1").write_bytes(b"behind" * 20_000)
    (scene.source / "victim.2").write_bytes(b"behind" * 20_000)
    (scene.source / "other").write_text("new")
    told.tree.settle()
    fake_rsync.install(
        scene,
        """
if [ "$phase" = transfer ]; then
    for slot in "$@"; do :; done
    for word in "$@"; do
        case "$word" in
            --inplace) for victim in "$slot"victim.[12]; do [ ! -e "$victim" ] || echo spoilt >"$victim"; done ;;
            --files-from=*)
                list=${word#--files-from=}
                grep --null-data --invert-match victim "$list" >"$list.left" || true
                cat "$list.left" >"$list"; rm "$list.left" ;;
        esac
    done
    "$real" "$@" || exit
    echo 'rsync: [sender] read errors mapping "victim": Input/output error (5)' >&2
    exit 23
fi""",
    )
    result = scene.night("--accept-changes", expect=(3,))
    fake_rsync.remove(scene)
    with scene.browsing():
        told.history.check()
        slots = scene.slots()
        for name in ("victim.1", "victim.2", "victim.3"):
            assert (slots[1] / name).read_bytes() == b"before" * 20_000
        assert (slots[1] / "victim.1").stat().st_ino == (slots[1] / "victim.3").stat().st_ino
        assert (slots[1] / "victim.2").stat().st_ino != (slots[1] / "victim.3").stat().st_ino
        assert (slots[1] / "other").read_text() == "new"
    assert result.mirror["degraded"] and result.mirror["snapshot"] != first
    assert scene.command("verify", "--full").exit_code == 0
    told.night()


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("list and plan done", 0.0), ("prepare the slot done", 0.2), ("transfer done", 0.0), ("transfer done", 0.5)],
)
def test_a_killed_night_is_put_right_by_the_next(scene: Scene, line: str, seconds: float) -> None:
    """SIGKILL after a step of the run has been reached, and a while later: whatever was sealed stays as it was."""
    told = Told(scene, f"killed {line} {seconds}", entries=15)
    told.night()
    told.day("create", "same_size_new_bytes", *LINKS[:2], others=5)
    source = told.tree.fingerprint()
    before = told.history.ids
    _killed_at(scene, line, seconds)
    told.day("create", others=2)
    newest = told.night().mirror["snapshot"]
    assert told.history.ids[0] == newest
    between = [one for one in told.history.ids[1:] if one not in before]
    for one in between:  # it had come so far: then it is the whole night
        assert told.history.sealed[one].keys() == source.keys()
    assert scene.command("verify", "--full").exit_code == 0


def _killed_at(scene: Scene, line: str, seconds: float) -> None:
    process = scene.start("run", "--accept-changes")
    assert process.stderr is not None
    for said in process.stderr:
        if line in said:
            break
    time.sleep(seconds)
    process.kill()
    process.communicate(timeout=300)
    assert process.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), process.returncode
