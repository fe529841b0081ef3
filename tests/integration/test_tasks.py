"""A run's list of tasks: what a further task may rely on, and what is told when it ends the run."""

from __future__ import annotations

import json
import signal

import pytest

from snapmirror.config import load
from snapmirror.errors import Interrupted, SnapmirrorError, StorageError, StuckError
from snapmirror.model import Silent
from snapmirror.night import run as running
from snapmirror.night.night import Options
from snapmirror.night.tasks import TASKS, Round, WithStoreClosed, WithStoreOpen, Work
from snapmirror.state import logbook
from snapmirror.storage.run_lock import owner_of
from tests.support.runner import Scene


def test_a_task_finds_the_store_as_it_asked_for_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool, list[str]]] = []

    def opened(now: Round) -> None:
        published = [str(night.result) for night in now.nights]
        seen.append(("open", owner_of(now.config) is not None, published))

    def closed(work: Work) -> None:
        published = [str(night.result) for night in work.run.report.mirrors]
        seen.append(("closed", owner_of(work.config) is not None, published))

    monkeypatch.setattr(running, "TASKS", (WithStoreClosed(closed), *TASKS, WithStoreOpen(opened)))
    report = running.run_mirrors(load(scene.config), [], Options(), Silent())
    assert report.exit_code == 0
    assert seen == [("open", True, ["published"]), ("closed", False, ["published"])]


@pytest.mark.parametrize(
    "error",
    [Interrupted(signal.SIGTERM, "SIGTERM"), StuckError("it is still mounted"), StorageError("the disk is full")],
    ids=lambda error: type(error).__name__,
)
def test_what_ends_a_run_after_its_nights_leaves_them_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: SnapmirrorError
) -> None:
    """Such as a signal while the image is copied: the night is published, in the report and in the logbook."""

    def fails(work: Work) -> None:
        raise error

    monkeypatch.setattr(running, "TASKS", (*TASKS, WithStoreClosed(fails)))
    config = load(scene.config)
    with pytest.raises(type(error)):
        running.run_mirrors(config, [], Options(), Silent())
    [snapshot] = scene.published()
    [line] = logbook.entries(config)
    assert (line.result, line.snapshot) == ("published", snapshot)
    [report] = [path for path in scene.state.glob("*.json") if path.name.count(".") == 1]
    assert json.loads(report.read_text())["mirrors"][0]["snapshot"] == snapshot
