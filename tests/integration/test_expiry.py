"""Retention that was made shorter: `plan` lists what a run would let expire, and a run that would lose much asks."""

from __future__ import annotations

from pathlib import Path

from tests.support.runner import Scene

GUARD = {"min_free": "1M", "min_free_inodes": 10}


def test_what_expires_is_planned_and_much_of_it_at_once_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.configure(keep_last=5, guard=GUARD)
    (scene.source / "file").write_text("one\n")
    ids = [scene.night().mirror["snapshot"] for _ in range(5)]
    assert scene.command("plan", "--json").json[0]["expires"] == [
        {"snapshot": ids[0], "reason": "older than the last 5"}
    ], "the rotation of one night"
    ids.append(scene.night().mirror["snapshot"])

    scene.configure(keep_last=1, guard=GUARD)
    planned = scene.command("plan")
    assert planned.exit_code == 0
    would = "5 snapshots would expire at once: more than max_expired = 3 allows"
    assert f"web: a run would stop: {would}" in planned.stderr
    [told] = scene.command("plan", "--json").json[0]["refusals"]
    assert (told["error"], told["exit_code"]) == (would, 13)
    expected = [f"web: {one} will expire: older than the last 1" for one in reversed(ids[1:])]
    assert planned.stdout.splitlines()[-5:] == expected, str(planned)
    refused = scene.night(expect=[13])
    assert would in refused.mirror["error"]
    assert len(scene.published()) == 5

    scene.configure(keep_last=4, guard=GUARD)
    few = scene.night()
    assert sorted(few.mirror["expired"]) == ids[1:3]
    scene.configure(keep_last=1, guard=GUARD)
    accepted = scene.night("--accept-changes")
    assert accepted.exit_code == 0 and list(scene.published()) == [accepted.mirror["snapshot"]]
