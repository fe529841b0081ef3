"""The host around a night: kept awake while it runs, told of its result, and, after a good one, its copy task started.

Nothing of this ever ends a night. A host that cannot be asked is a warning, said once: it is not asked again then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from snapmirror.config import Config
from snapmirror.errors import ExitCode, HostError, Interrupted
from snapmirror.state import render
from snapmirror.state.followers import Follower, Run
from snapmirror.tools.winrm import Held, ScriptError
from snapmirror.windows.asking import Host, configured

log = logging.getLogger("snapmirror.host")

_LONGEST_NIGHT_SECONDS = 24 * 3600  # then Windows may sleep again, even if nobody tells it that the night is over
_LONGEST_MESSAGE = 3000
FIRST_EVENT = 1000  # an event's number is this plus the exit code


class HostNight(Follower):
    """The host in one night; warnings go into the run's report."""

    def __init__(self, config: Config) -> None:
        self._config = configured(config)
        self._host = Host(self._config)
        self._warnings: list[str] = []  # the run's
        self._held: Held | None = None
        self._said = False  # that the host cannot be asked
        self._given_up = False

    @contextmanager
    def began(self, run: Run) -> Iterator[None]:
        """Windows does not fall asleep meanwhile."""
        self._warnings = run.report.warnings
        with ExitStack() as stack:
            if self._config.keep_awake:
                try:
                    self._held = stack.enter_context(self._host.held("awake", seconds=_LONGEST_NIGHT_SECONDS))
                    log.info("%s is kept awake", self._config.address)
                except HostError as error:
                    self._failed("Windows is not kept awake", error)
            yield

    def ended(self, run: Run) -> None:
        """The run is over and the image is closed: start the copy task, and tell the result."""
        if isinstance(run.error, Interrupted):
            return  # who is stopped, or has lost the host, keeps nobody waiting
        if self._held is not None and (failure := self._held.failure()) is not None:
            self._warn("Windows was not kept awake to the end", failure)
            self._said = True  # it may be back by now: it is asked, but what it lacks is not said again
        task = self._config.copy_task
        if task is not None and run.exit_code in (ExitCode.DONE, ExitCode.WARNINGS):
            self._do(f"the task {task} was not started", "task", task=task)
        if self._config.event_log:
            code = run.exit_code
            level = {ExitCode.DONE: "Information", ExitCode.WARNINGS: "Warning"}.get(code, "Error")
            self._do("the event log was not told", "event", id=FIRST_EVENT + code, level=level, message=_message(run))

    def _do(self, otherwise: str, script: str, **parameters: object) -> None:
        if self._given_up:
            return
        try:
            self._host.ask(script, **parameters)
        except HostError as error:
            self._failed(otherwise, error)

    def _failed(self, what: str, error: HostError) -> None:
        """A script that failed there says nothing of the next; a host that cannot be asked is not asked again."""
        if isinstance(error, ScriptError):
            self._warn(what, error)
            return
        self._given_up = True
        if not self._said:
            self._warn(what, error)
        self._said = True

    def _warn(self, what: str, error: HostError) -> None:
        self._warnings.append(f"{what}: {error.message}" + (f" ({error.hint})" if error.hint else ""))


def _message(run: Run) -> str:
    """The result as the event log shows it: characters that it could not show are escaped, and it has an end."""
    lines = render.run_in_short(run.report, run.exit_code, run.error)
    text = "\n".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"
