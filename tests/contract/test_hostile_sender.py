"""Each backend under a hostile sender: what is added to requests reaches neither history nor what is published.

The attacks are those of tests/integration/test_hostile_additions.py, which has all of them on a plain folder and XFS.
"""

from __future__ import annotations

import os

import pytest

from tests.conftest import Figures
from tests.support import hostile
from tests.support.runner import LONG, Scene
from tests.support.siege import Siege

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other owners need root")


def test_what_was_not_asked_for(scene: Scene, figures: Figures) -> None:
    siege = Siege(scene, keep_last=2)
    siege.honest()
    siege.honest()
    siege.honest()
    few = list(hostile.a_few(1, siege.victim))
    siege.siege(hostile.a_few, only=few if LONG else few[::6])
    assert siege.seen
    figures.add(f"hostile senders, {type(scene).__name__}: {len(siege.exit_codes)} attacks, 0 lost")
