"""One line of the doctor's findings, and the result of all lines together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from snapmirror.errors import ExitCode, Interrupted, SnapmirrorError

Level = Literal["ok", "warn", "fail"]


class Check(Struct, frozen=True):
    """What was checked, what was found, how to mend it, and its exit code."""

    level: Level
    topic: str
    message: str
    mend: str = ""
    code: ExitCode = ExitCode.DONE


def ok(topic: str, message: str) -> Check:
    """All is well."""
    return Check("ok", topic, message)


def warn(topic: str, message: str, mend: str) -> Check:
    """A night will run, but not as it should."""
    return Check("warn", topic, message, mend, ExitCode.WARNINGS)


def fail(topic: str, message: str, mend: str, code: ExitCode) -> Check:
    """A night would fail with this exit code."""
    return Check("fail", topic, message, mend, code)


def failed(topic: str, error: SnapmirrorError) -> Check:
    """The same, from the error that the night would end with. A signal is no finding: it is raised again."""
    if isinstance(error, Interrupted):
        raise error
    return Check("fail", topic, error.message, error.hint, error.exit_code)


_WORST = (
    ExitCode.STUCK, ExitCode.DAMAGE, ExitCode.STORAGE, ExitCode.LOCKED, ExitCode.GUARD, ExitCode.TRANSFER,
    ExitCode.USAGE, ExitCode.WARNINGS,
)  # fmt: skip


def verdict(checks: Iterable[Check]) -> ExitCode:
    """The exit code of all lines together: the worst one's."""
    found = {check.code for check in checks}
    return next((code for code in _WORST if code in found), max(found, default=ExitCode.DONE))
