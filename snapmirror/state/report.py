"""The result of a run, for people, for `--json`, and for monitoring."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field, to_builtins

from snapmirror.errors import ExitCode, SnapmirrorError
from snapmirror.model import ReadBack

if TYPE_CHECKING:
    from snapmirror.storage.copier import CopyReport

Result = Literal["published", "planned", "failed"]


class MirrorReport(Struct):
    """The night of one mirror. Counts are names; sizes are bytes; `seconds` is how long it took.

    `bytes_saved` of `bytes_transferred` did not travel, thanks to compression. `moved_names`, of those added or
    updated, were linked to files of the snapshot before, of `moved_bytes`: these are not stored again. `copied_names`
    were copied from files of it, of `copied_bytes`, and not sent.
    """

    mirror: str
    result: Result = "failed"
    snapshot: str | None = None
    added: int = 0
    updated: int = 0
    attributes: int = 0
    linked: int = 0
    deleted: int = 0
    bytes: int = 0
    bytes_transferred: int = 0
    bytes_saved: int = 0
    moved_names: int = 0
    moved_bytes: int = 0
    copied_names: int = 0
    copied_bytes: int = 0
    expired: list[str] = field(default_factory=list)
    full: bool = False
    degraded: bool = False
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    hint: str | None = None
    exit_code: int = 0
    read_back: ReadBack | None = None
    attempts: int = 1

    @property
    def changed_names(self) -> int:
        """Names added, updated, linked, deleted or changed in their attributes."""
        return self.added + self.updated + self.attributes + self.linked + self.deleted

    def fail(self, error: SnapmirrorError) -> None:
        """Record the error that ended the night."""
        self.result, self.error, self.hint, self.exit_code = "failed", error.message, error.hint, int(error.exit_code)


class CopyResult(Struct):
    """The copy of the image after a night: its result, or why there is none."""

    done: CopyReport | None = None
    error: str | None = None
    hint: str | None = None

    @property
    def warnings(self) -> list[str]:
        """What people must know; a failed copy does not change the night's result."""
        if self.done is not None:
            return self.done.warnings
        return [f"the image was not copied: {self.error}"]

    def as_json(self) -> dict[str, object]:
        """As `run --json` prints it."""
        return {**(to_builtins(self.done) if self.done else {}), "error": self.error, "hint": self.hint}


class RunReport(Struct):
    """All mirrors of a run, the copy of the image, if configured, and warnings that belong to none of them."""

    mirrors: list[MirrorReport] = field(default_factory=list)
    copy: CopyResult | None = None
    warnings: list[str] = field(default_factory=list)
    logged: set[str] = field(default_factory=set)  # warnings that people have seen in the log

    def of(self, mirror: str) -> MirrorReport:
        """The night of one mirror, which must exist."""
        return next(one for one in self.mirrors if one.mirror == mirror)

    def put(self, night: MirrorReport) -> None:
        """Add the night of a mirror; a later one replaces an earlier one."""
        for number, one in enumerate(self.mirrors):
            if one.mirror == night.mirror:
                self.mirrors[number] = night
                return
        self.mirrors.append(night)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """During the block, add each warning in the log, from any module, to the report."""
        listener, logger = _Listener(self), logging.getLogger("snapmirror")
        logger.addHandler(listener)
        try:
            yield
        finally:
            logger.removeHandler(listener)

    @property
    def exit_code(self) -> ExitCode:
        """The code of the first mirror that failed; else 3 if there are warnings; else 0."""
        codes = [mirror.exit_code for mirror in self.mirrors]
        if self.warnings or (self.copy is not None and self.copy.warnings):
            codes.append(ExitCode.WARNINGS)
        failed = [code for code in codes if code not in {ExitCode.DONE, ExitCode.WARNINGS}]
        return ExitCode(failed[0] if failed else max(codes, default=0))

    def as_json(self) -> dict[str, object]:
        """The report as `run --json` prints it."""
        copied = {"copy": self.copy.as_json()} if self.copy is not None else {}
        mirrors = [to_builtins(mirror) for mirror in self.mirrors]
        return {"exit_code": int(self.exit_code), "mirrors": mirrors, "warnings": self.warnings, **copied}


class _Listener(logging.Handler):
    def __init__(self, report: RunReport) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        sentence = record.getMessage()
        if sentence not in self._report.warnings:
            self._report.warnings.append(sentence)
            self._report.logged.add(sentence)
