"""The kept state of every mirror, in Prometheus' text format, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from snapmirror import files
from snapmirror.config import Config
from snapmirror.state.lateness import late_after
from snapmirror.state.summary import Summary
from snapmirror.state.trend import days_until_full


def write(config: Config, remembered: Summary) -> None:
    """Replace the file, if it is configured, by the metrics of all mirrors, also those that the last run did not run.

    Raises OSError and ForeignError.
    """
    if config.report.metrics_file is None:
        return
    from prometheus_client import CollectorRegistry, Gauge, generate_latest  # takes 0.1 s: only if configured

    registry = CollectorRegistry()

    def gauge(name: str, text: str) -> Gauge:
        return Gauge(f"snapmirror_{name}", text, ["mirror"], registry=registry)

    finish = gauge("last_run_timestamp_seconds", "End of the last run, seconds since 1970")
    success = gauge("last_success_timestamp_seconds", "Start of the newest snapshot's run, seconds since 1970")
    late = gauge("late_after_seconds", "How old the newest snapshot may be before 'status' warns")
    code = gauge("last_run_exit_code", "Exit code of the last run")
    seconds = gauge("last_run_duration_seconds", "Duration of the last run")
    moved = gauge("last_run_transferred_bytes", "Bytes of file content transferred in the last run")
    changed = gauge("last_run_changed_names", "Names added, updated, linked, deleted or changed in their attributes")
    warnings = gauge("last_run_warnings", "Warnings of the last run")
    share = gauge("read_back_ratio", "Completed share of this pass of reading all files back, 0 to 1")
    whole = gauge("read_back_completed_timestamp_seconds", "End of the last full pass, seconds since 1970")
    behind = gauge("read_back_behind_seconds", "How far reading back is behind its schedule")
    damaged = gauge("read_back_damaged_files", "Known damaged files")
    configured = {mirror.name: mirror.late_after for mirror in config.mirrors}
    for mirror, night in remembered.nights.items():
        gap = timedelta(seconds=night.usual_gap) if night.usual_gap is not None else None
        late.labels(mirror).set(late_after(configured.get(mirror), gap).total_seconds())
        finish.labels(mirror).set(night.finished)
        code.labels(mirror).set(night.exit_code)
        seconds.labels(mirror).set(night.seconds)
        moved.labels(mirror).set(night.bytes_transferred)
        changed.labels(mirror).set(night.changed_names)
        warnings.labels(mirror).set(len(night.warnings))
        if night.last_success is not None:
            success.labels(mirror).set(night.last_success)
        if (known := night.read_back) is not None:
            share.labels(mirror).set(known.share)
            behind.labels(mirror).set(known.behind_seconds)
            if known.completed is not None:
                whole.labels(mirror).set(known.completed)
    for mirror in sorted({*remembered.nights, *remembered.damaged}):
        if (number := remembered.damaged_files(mirror)) is not None:
            damaged.labels(mirror).set(number)
    for name, text, known_room in _room(config, remembered):
        if known_room is not None:
            Gauge(f"snapmirror_{name}", text, registry=registry).set(known_room)
    files.replace(config.report.metrics_file, generate_latest(registry), 0o644)


def _room(config: Config, remembered: Summary) -> Iterator[tuple[str, str, float | None]]:
    """Of the whole store. Unknown values are left out: a placeholder would be plotted."""
    space = remembered.space
    if space is not None:
        yield "store_free_bytes", "Free space on the store after the last run that opened it", space.store_free
        yield "image_bytes", "Space that the image takes on its disk", space.image
        yield "disk_free_bytes", "Free space on the disk below the image", space.disk_free
    text = "Days until no more than min_free is left, at the pace of the last nights"
    yield "days_until_full", text, days_until_full(config, space)
