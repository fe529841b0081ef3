"""What all tests share: how hypothesis searches, and the machine's state of mind (UTC, plain locale)."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings

from snapmirror import interrupts
from tests.support import fork_server
from tests.support.durations import Durations

# No deadline: a busy machine must not turn a true test red. `--hypothesis-profile=thorough` searches longer.
settings.register_profile("usual", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", parent=settings.get_profile("usual"), max_examples=1000)
settings.load_profile("usual")

os.environ["TZ"] = "UTC"
time.tzset()
os.umask(0o022)
fork_server.Servers.environment = fork_server.environment_of_commands()

# Whoever started the tests may ignore signals (nohup, a job in the background), and programs inherit that. A run that
# is told to ignore a signal does; the tests want it to listen.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


durations = Durations()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Setting up and taking down included."""
    with durations.measured(item.location[0]):
        return (yield)


class Figures:
    """What a test has tried and lost, told at the end of the run."""

    lines: ClassVar[list[str]] = []

    def add(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def figures() -> Figures:
    return Figures()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if Figures.lines:
        terminalreporter.section("tried and lost")
        for line in Figures.lines:
            terminalreporter.line(line)
    if lines := durations.lines():
        terminalreporter.section("what each file took, and of the processor")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(autouse=True, scope="module")
def _a_fork_server_of_its_own() -> Iterator[None]:
    yield
    fork_server.Servers.close()


@pytest.fixture(autouse=True)
def _a_process_as_it_was() -> Iterator[None]:
    """What the command line sets once for a whole process is taken back: the log, and a signal that has been seen."""
    logger = logging.getLogger("snapmirror")
    before = logger.handlers[:], logger.propagate, logger.level
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = before[:2]
        logger.setLevel(before[2])
        interrupts._State.raised = None
