"""History that costs its full size, because nothing is shared, is told of: copies look all right otherwise."""

from __future__ import annotations

import shutil

from tests.support.runner import History, Scene
from tests.support.trees import Tree

_PROGRAM = """#!/bin/sh
for word; do
    shift
    [ "$word" = --link ] || set -- "$@" "$word"
done
exec {cp} "$@"
"""


def test_a_slot_whose_files_are_copies_is_told_of(scene: Scene) -> None:
    tree, history = Tree(scene.source), History(scene)
    for number in range(40):
        (scene.source / f"file {number}").write_text(f"{number}")
    for night in range(3):
        (scene.source / "file 7").write_text("changed" * night)
        tree.settle()
        if night == 2:
            scene.fake_program("cp", _PROGRAM.format(cp=shutil.which("cp")))
        result = scene.night(expect=(3,) if night == 2 else (0,))
        history.check()
        history.check_newest(tree.fingerprint())
    warning = "unchanged files do not share their space with the last snapshot"
    assert any(warning in one for one in result.mirror["warnings"]), str(result)
