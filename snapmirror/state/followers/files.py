"""The files that a run writes: its report as JSON, the summary for `status`, the metrics, a line of the logbook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from snapmirror import files
from snapmirror.config import Config
from snapmirror.errors import StorageError
from snapmirror.state import logbook, summary
from snapmirror.state.followers import Follower, Run
from snapmirror.state_folder import state_file


class ReportFiles(Follower):
    """The report files that are configured, a copy in the state folder beside the lock, and the summary."""

    def __init__(self) -> None:
        self._written = ""

    def so_far(self, run: Run) -> None:
        """Replace them, unless they are the same already. Raises StorageError."""
        text = json.dumps({"finished_at": run.finished, **run.report.as_json()}, indent=1)
        if text == self._written:
            return
        config, report = run.config, run.report
        with _one_sentence():
            summary.replace(state_file(config, ".json"), text)
            run.remembered = summary.keep(
                config, report.mirrors, run.finished, run.last_success, run.space, report.warnings, run.waiting
            )
            if config.report.json_file:
                summary.replace(config.report.json_file, text)
        self._written = text


class Metrics(Follower):
    """The metrics file, if one is configured."""

    def so_far(self, run: Run) -> None:
        """Replace it: also at the end, when the logbook tells the trend anew. Raises StorageError."""
        if run.config.report.metrics_file is not None and run.remembered is not None:
            from snapmirror.state import metrics  # only if configured: a start is counted in milliseconds

            with _one_sentence():
                metrics.write(run.config, run.remembered)


class Logbook(Follower):
    """A line of the logbook for each mirror: once, at the end."""

    def ended(self, run: Run) -> None:
        """Append them. Raises StorageError."""
        try:
            logbook.append(run.config, run.report, run.finished, run.space)
        except (OSError, files.ForeignError) as error:
            raise StorageError(f"the logbook cannot be written: {files.why(error)}") from error


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the report {error.filename} cannot be written: {error.strerror}", hint="check [report]"
        ) from error


def forget(config: Config, mirror: str) -> None:
    """Remove a mirror from the last run's report, from the kept state, and from the metrics.

    Raises OSError and ForeignError.
    """
    from snapmirror.state import metrics

    for path in filter(None, (state_file(config, ".json"), config.report.json_file)):
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            last = json.loads(files.read(path))
            mirrors = [one for one in last["mirrors"] if one["mirror"] != mirror]
            if len(mirrors) < len(last["mirrors"]):
                summary.replace(path, json.dumps({**last, "mirrors": mirrors}, indent=1))
    metrics.write(config, summary.forget(config, mirror))
