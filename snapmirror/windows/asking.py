"""Queries to the host: with its login from the configuration, and our own scripts. Runs `tools.winrm`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from snapmirror import environment, files
from snapmirror.config import Config, HostConfig
from snapmirror.errors import HostError, UsageError
from snapmirror.process import ProgramFailed, ProgramTimeout, run
from snapmirror.tools import winrm

SCRIPTS = Path(__file__).with_name("scripts")


class Host:
    """The host of the configuration."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self._login: winrm.Login | None = None

    def ask(self, script: str, **parameters: object) -> dict[str, Any]:
        """Run one of our scripts there. Raises HostError."""
        with _one_sentence():
            return winrm.ask(self._logged_in(), _text(script), parameters)

    @contextmanager
    def held(self, script: str, **parameters: object) -> Iterator[winrm.Held]:
        """Run one of our scripts there during the block. Raises HostError."""
        with ExitStack() as stack:
            with _one_sentence():
                held = stack.enter_context(winrm.held(self._logged_in(), _text(script), parameters))
            yield held

    def _logged_in(self) -> winrm.Login:
        """The login, with its secret; read once."""
        if self._login is None:
            config = self.config
            for path in (config.ca_file, config.certificate) if config.transport != "http" else ():
                if path is not None:
                    _look(path, hint="it is named in [host]; 'snapmirror help host' explains how to make it")
            if config.certificate_key is not None:
                _secret(config.certificate_key)
            self._login = winrm.Login(
                host=config.address,
                port=config.port or winrm.PORTS[config.transport],
                transport=config.transport,
                user=config.user or "",
                password=_password(config),
                ca_file=str(config.ca_file),
                certificate=str(config.certificate) if config.certificate else None,
                certificate_key=str(config.certificate_key) if config.certificate_key else None,
                timeout=config.timeout_seconds,
            )
        return self._login


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Report whatever prevents the query like a host that does not answer: no night ends because of it."""
    try:
        yield
    except UsageError as error:
        raise HostError(error.message, hint=error.hint) from error
    except OSError as error:
        raise HostError(f"the Windows host cannot be queried: {error.strerror or error}") from error


def configured(config: Config) -> HostConfig:
    """The section [host]. Raises UsageError when there is none."""
    if config.host is None:
        raise UsageError("the configuration has no section [host]", hint="'snapmirror help host' tells what goes there")
    return config.host


def _text(script: str) -> str:
    return (SCRIPTS / f"{script}.ps1").read_text(encoding="utf-8")


def _password(config: HostConfig) -> str:
    if config.transport == "certificate":
        return ""
    if config.password_file is not None:
        said, where = _secret(config.password_file), str(config.password_file)
    else:
        words = config.password_command or ()
        try:
            said, where = run(words, env=environment.whole(), timeout=config.timeout_seconds).stdout, words[0]
        except ProgramTimeout as late:
            raise HostError(str(late), hint="run it by hand to see why") from late
        except ProgramFailed as failed:
            raise HostError(
                f"password_command {words[0]} failed: {failed.completed.complaint}", hint="run it by hand to see why"
            ) from failed
    password = said.decode("utf-8", "replace").removeprefix("\ufeff").partition("\n")[0].removesuffix("\r")
    if not password:
        raise HostError(f"{where} gives no password for the Windows host", hint="its first line is the password")
    return password


def _secret(file: Path) -> bytes:
    mode, content = _look(file, hint="it is named in [host]")
    if mode & 0o077:
        raise HostError(f"{file} can be read by others", hint=f"chmod 600 {file}")
    return content


def _look(file: Path, *, hint: str) -> tuple[int, bytes]:
    """Mode and content of a file that [host] names."""
    try:
        with files.named(file) as opened:
            return os.fstat(opened.fileno()).st_mode, opened.read()
    except FileNotFoundError:
        raise HostError(f"{file} is missing", hint=hint) from None
    except OSError as error:
        raise HostError(f"{file} cannot be read: {error.strerror}", hint=hint) from error
