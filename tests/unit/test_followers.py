"""Followers of a run: all of them hear, in order, and one that fails is a warning."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.errors import Interrupted, StorageError, StuckError
from snapmirror.state.followers import Follower, Followers, Run
from snapmirror.state.report import MirrorReport


class Writing(Follower):
    """Writes down what it hears."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    @contextmanager
    def began(self, run: Run) -> Iterator[None]:
        self.heard.append("began")
        yield
        self.heard.append("over")

    def so_far(self, run: Run) -> None:
        self.heard.append(f"so far {run.finished:g}, {len(run.report.warnings)} warnings")

    def ended(self, run: Run) -> None:
        self.heard.append(f"ended {int(run.exit_code)}")


class Failing(Follower):
    """Fails whenever it hears something."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def began(self, run: Run) -> AbstractContextManager[object]:
        raise self.error

    def so_far(self, run: Run) -> None:
        raise self.error

    def ended(self, run: Run) -> None:
        raise self.error


@pytest.fixture
def run(tmp_path: Path) -> Run:
    file = tmp_path / "snapmirror.toml"
    file.write_text(f'[store]\npath = "{tmp_path}"\n[[mirror]]\nname = "web"\nsource = "/etc"\n')
    found = Run(load(file))
    found.report.mirrors.append(MirrorReport("web", result="published"))
    return found


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (StorageError("the disk is full", hint="make room"), "the disk is full"),
        (OSError(28, "No space left on device"), "Failing failed: OSError: [Errno 28] No space left on device"),
        (ZeroDivisionError("by zero"), "Failing failed: ZeroDivisionError: by zero"),
    ],
)
def test_one_that_fails_is_one_warning_and_the_others_hear(run: Run, error: Exception, sentence: str) -> None:
    heard: list[str] = []
    followers = Followers(run, [Failing(error), Writing(heard)])
    with followers.began():
        followers.so_far(7)
        followers.ended()
    assert heard == ["began", "so far 7, 1 warnings", "ended 3", "so far 7, 1 warnings", "over"]
    assert run.report.warnings == [sentence]


@pytest.mark.parametrize("error", [Interrupted(signal.SIGTERM, "SIGTERM"), StuckError("it is still mounted")])
def test_what_outranks_the_run_ends_it(run: Run, error: Exception) -> None:
    with pytest.raises(type(error)):
        Followers(run, [Failing(error)]).so_far(7)
    assert not run.report.warnings


def test_the_exit_code_is_the_one_that_the_command_ends_with(run: Run) -> None:
    assert int(run.exit_code) == 0
    run.error = StuckError("it is still mounted")
    assert int(run.exit_code) == 20
