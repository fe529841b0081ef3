"""list, pin and unpin as commands, on a plain store."""

from __future__ import annotations

from pathlib import Path

from tests.support.runner import Scene


def nights(scene: Scene, count: int) -> None:
    for number in range(count):
        scene.source.joinpath(f"file{number}").write_text(str(number) * 1000)
        scene.night()


def test_an_empty_store_lists_nothing(scene: Scene) -> None:
    listed = scene.command("list", "--json")
    assert (listed.exit_code, listed.json) == (0, [])
    assert "no snapshots yet" in scene.command("list").stderr


def test_list_says_what_is_there(scene: Scene) -> None:
    nights(scene, 3)
    listed = scene.command("list", "--json").json
    published = scene.published()
    assert [one["id"] for one in listed] == list(published)
    assert [one["slot"] for one in listed] == [1, 2, 3]
    assert [Path(one["path"]) for one in listed] == list(published.values())
    for one in listed:
        assert one.keys() >= {"mirror", "id", "slot", "taken_at", "path", "files", "bytes", "new_bytes", "pinned"}
        assert one["taken_at"].replace(":", "") == one["id"]
    assert [one["files"] for one in listed] == [4, 3, 2]
    assert [one["bytes"] for one in listed] == [3001, 2001, 1001]
    assert [one["new_bytes"] for one in listed] == [1000, 1000, 1001]
    shown = scene.command("list")
    assert [line.split()[2] for line in shown.stdout.splitlines()[1:]] == list(published)


def test_a_pinned_snapshot_outlives_its_time(scene: Scene) -> None:
    scene.configure(keep_last=2)
    nights(scene, 1)
    [first] = scene.published()
    assert scene.command("pin", "newest").exit_code == 0
    nights(scene, 4)
    assert first in scene.published()
    assert [one["id"] for one in scene.command("list", "--json").json if one["pinned"]] == [first]
    assert scene.command("unpin", first[:17]).exit_code == 0
    nights(scene, 1)
    assert first not in scene.published()


def test_a_snapshot_that_is_not_there_is_a_usage_error(scene: Scene) -> None:
    nights(scene, 1)
    for words in (["pin", "7"], ["pin", "1999"], ["pin", "newest", "--mirror", "nope"], ["list", "--mirror", "nope"]):
        done = scene.command(*words)
        assert done.exit_code == 2, str(done)
        assert "hint:" in done.stderr
