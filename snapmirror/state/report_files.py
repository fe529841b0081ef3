"""The files that a run writes: its report as JSON, the summary for `status`, and the metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from snapmirror import files
from snapmirror.config import Config
from snapmirror.errors import StorageError
from snapmirror.state import metrics, summary
from snapmirror.state.report import RunReport
from snapmirror.state_folder import state_file


def write(
    report: RunReport,
    config: Config,
    finished: float,
    last_success: dict[str, summary.Success],
    space: summary.Space | None = None,
    waiting: Mapping[str, summary.Waiting] | None = None,
) -> None:
    """Write the report files that are configured, and a copy into the state folder, beside the lock.

    `finished` is in seconds since 1970; `space` is the free space, if it is known; `waiting` are the mirrors that the
    run is going to retry.
    """
    text = json.dumps({"finished_at": finished, **report.as_json()}, indent=1)
    try:
        summary.replace(state_file(config, ".json"), text)
        kept = summary.keep(config, report.mirrors, finished, last_success, space, report.warnings, waiting)
        if config.report.json_file:
            summary.replace(config.report.json_file, text)
        metrics.write(config, kept)
    except OSError as error:
        raise StorageError(
            f"the report {error.filename} cannot be written: {error.strerror}", hint="check [report]"
        ) from error


def forget(config: Config, mirror: str) -> None:
    """Remove a mirror from the last run's report, from the kept state, and from the metrics.

    Raises OSError and ForeignError.
    """
    for path in filter(None, (state_file(config, ".json"), config.report.json_file)):
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            last = json.loads(files.read(path))
            mirrors = [one for one in last["mirrors"] if one["mirror"] != mirror]
            if len(mirrors) < len(last["mirrors"]):
                summary.replace(path, json.dumps({**last, "mirrors": mirrors}, indent=1))
    metrics.write(config, summary.forget(config, mirror))
