"""A history that the configuration has no mirror for: renamed or taken out, it is not forgotten."""

from __future__ import annotations

from tests.support.runner import Scene


def test_a_mirror_that_was_renamed_is_named_by_whoever_is_asked(scene: Scene) -> None:
    scene.night()
    scene.name = "www"
    scene.configure()
    for first in (True, False):  # before and after the first night under the new name
        for words in (["list"], ["status"]):
            told = scene.command(*words)
            assert f"{scene.store}/web holds the history of a mirror 'web' that has no section" in told.stderr
            assert "give a [[mirror]] that name" in told.stderr
        [sentence] = scene.command("status", "--json").json["unlisted"]
        assert "'web'" in sentence
        doctor = scene.command("doctor")
        assert doctor.exit_code == 3, str(doctor)
        assert "history of a mirror 'web'" in doctor.stdout
        if first:
            scene.night()
    assert scene.command("status").exit_code == 0, "another configuration may have the other mirror"


def test_the_hint_is_true(scene: Scene) -> None:
    scene.night()
    scene.name = "www"
    scene.configure()
    (scene.store / "web").rename(scene.home)
    assert "has no section" not in scene.command("list").stderr
    assert len(scene.command("list", "--json").json) == 1
    (scene.source / "more").write_text("more")
    scene.night()
    assert len(scene.published()) == 2
    assert scene.command("verify", "--full").exit_code == 0
