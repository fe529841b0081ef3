"""Results in words: of a run, of a copy of the image, of reading back, and of the free space.

The only place that makes sentences of them, for the command line, Windows' event log and the helper VM. Names in a
sentence are unescaped; its caller escapes what its output cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from snapmirror.errors import ExitCode
from snapmirror.model import count, size
from snapmirror.text import duration, local_time

if TYPE_CHECKING:
    from snapmirror.errors import SnapmirrorError
    from snapmirror.model import ReadBack
    from snapmirror.state.report import CopyResult, MirrorReport, RunReport
    from snapmirror.state.status import Status
    from snapmirror.state.summary import Space
    from snapmirror.storage.copier import CopyReport


class Sentence(Struct, frozen=True):
    """A line. `serious`: a warning or an error, shown also with --quiet."""

    text: str
    serious: bool = False


# --- a run


def run(report: RunReport) -> Iterator[Sentence]:
    """All of a run, as the command line prints it. Warnings that the log has shown are not repeated."""
    for mirror in report.mirrors:
        yield from _mirror(mirror)
    if report.copy is not None:
        yield from _copy_after_run(report.copy)
    for warning in report.warnings:
        if warning not in report.logged:
            yield Sentence(f"warning: {warning}", serious=True)
    if failed := sum(mirror.result == "failed" for mirror in report.mirrors):
        yield Sentence(f"{failed} of {count(len(report.mirrors), 'mirror')} failed", serious=True)
    else:
        yield Sentence("done, with warnings" if report.exit_code == ExitCode.WARNINGS else "done")


def run_in_short(report: RunReport, exit_code: ExitCode, error: SnapmirrorError | None) -> Iterator[str]:
    """All of a run in few lines, for an event log; `exit_code` and `error` are the run's result."""
    verdict = {ExitCode.DONE: "done", ExitCode.WARNINGS: "done, with warnings"}
    yield f"snapmirror: {verdict.get(exit_code, 'failed')} (exit code {int(exit_code)})"
    for mirror in report.mirrors:
        if mirror.error:
            yield f"{mirror.mirror}: failed: {mirror.error}" + (f" ({mirror.hint})" if mirror.hint else "")
        else:
            fetched = f"{size(mirror.bytes_transferred)} fetched{_saved(mirror)}"
            yield (
                f"{mirror.mirror}: {mirror.snapshot}: {mirror.added} added, {mirror.updated} updated, "
                f"{mirror.deleted} deleted{_moved(mirror)}; {fetched} in {mirror.seconds:.0f} s"
            )
        yield from (f"{mirror.mirror}: warning: {warning}" for warning in mirror.warnings)
    if error is not None and error.message not in [mirror.error for mirror in report.mirrors]:
        yield f"failed: {error.message}" + (f" ({error.hint})" if error.hint else "")
    copied = report.copy.warnings if report.copy is not None else []
    yield from (f"warning: {warning}" for warning in (*copied, *report.warnings))


def _saved(mirror: MirrorReport) -> str:
    return f" as {size(mirror.bytes_transferred - mirror.bytes_saved)} compressed" if mirror.bytes_saved else ""


def _moved(mirror: MirrorReport) -> str:
    """In words, with a comma before them."""
    moved = f", {count(mirror.moved_names, 'name')} moved ({size(mirror.moved_bytes)} not stored again)"
    copied = f", {count(mirror.copied_names, 'name')} copied here ({size(mirror.copied_bytes)} not sent)"
    return (moved if mirror.moved_names else "") + (copied if mirror.copied_names else "")


def _mirror(mirror: MirrorReport) -> Iterator[Sentence]:
    for warning in mirror.warnings:
        yield Sentence(f"{mirror.mirror}: warning: {warning}", serious=True)
    if mirror.error:
        yield Sentence(f"{mirror.mirror}: error: {mirror.error}", serious=True)
        if mirror.hint:
            yield Sentence(f"  hint: {mirror.hint}", serious=True)
        return
    yield Sentence(
        f"{mirror.mirror}: {mirror.snapshot}: {mirror.added} added, {mirror.updated} updated, "
        f"{mirror.attributes} with new attributes, {mirror.linked} linked, {mirror.deleted} deleted{_moved(mirror)}; "
        f"{size(mirror.bytes_transferred)} fetched{_saved(mirror)} in {duration(mirror.seconds)}"
        + (" (with warnings)" if mirror.warnings else "")
    )
    if (known := mirror.read_back) is not None and known.files:
        read = f"{count(known.files, 'file')} read back ({size(known.bytes)})"
        yield Sentence(f"{mirror.mirror}: {read}: {read_back(known)}")


# --- the copy of the image


def _copy_after_run(copied: CopyResult) -> Iterator[Sentence]:
    if copied.done is not None:
        yield from copy(copied.done)
        return
    for warning in copied.warnings:
        yield Sentence(f"warning: {warning}", serious=True)
    if copied.hint:
        yield Sentence(f"  hint: {copied.hint}", serious=True)


def copy(report: CopyReport) -> Iterator[Sentence]:
    """A copy of the image, done or planned."""
    for warning in report.warnings:
        yield Sentence(f"warning: {warning}", serious=True)
    if report.result == "planned":
        yield Sentence(f"{report.copy}: {size(report.changed_bytes)} to write, {size(report.cleared_bytes)} to clear")
        return
    yield Sentence(
        f"{report.copy}: {report.result}{' (after an interruption)' if report.resumed else ''}; "
        f"{size(report.changed_bytes)} differed, {size(report.read_bytes + report.compared_bytes)} read, "
        f"{size(report.written_bytes)} written, {size(report.verified_bytes)} read back in "
        f"{duration(report.seconds)}; it takes {size(report.allocated_bytes)}"
        + (f", former copies take {size(report.former_bytes)}" if report.former else "")
    )


# --- the state between runs


def needs_a_look(status: Status) -> Iterator[str]:
    """What needs attention, and how to mend the mirrors that failed: the message after a failed night."""
    yield from status.findings
    yield from (f"  hint: {mirror.hint}" for mirror in status.mirrors if mirror.hint)


def space_left(space: Space, *, live: bool) -> str:
    """The free space; `live`: it was read just now."""
    parts = [f"the store has {size(space.store_free)} left"]
    parts += [f"its image takes {size(space.image)}"] if space.image is not None else []
    parts += [f"the disk below has {size(space.disk_free)} left"] if space.disk_free is not None else []
    when = "" if live else f" (after the run of {local_time(datetime.fromtimestamp(space.at, UTC))})"
    return "; ".join(parts) + when


def read_back(known: ReadBack) -> str:
    """The progress of reading all files back."""
    completed = datetime.fromtimestamp(known.completed, UTC) if known.completed is not None else None
    last = f"the last full pass completed {local_time(completed)}" if completed else "no full pass completed yet"
    text = f"{known.share:.1%} of this pass read back, {last}"
    return f"{text}; {damaged_files(known.damaged)}" if known.damaged else text


def damaged_files(number: int) -> str:
    """The number of known ones."""
    return f"{count(number, 'damaged file')} known"
