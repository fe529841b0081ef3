"""What each of the gate's two keys may request of snapmirror: commands, their options, and their possible words.

A request is not searched for forbidden words. It is parsed by these tables, and the command is built anew from the
result: options in full, then `--`, then the words. So everything that the tables do not name is refused, also options
of a later snapmirror; and no word can become an option.

The everyday key can do what the PowerShell module does, and read. The administrator's key is needed for commands that
shorten history or prepare that (`forget`, `purge`, `retire`, `unpin`, `--accept-changes`, more runs than a day needs:
see runs.py), that fill the image for good (`pin`), test the storage (`doctor --storage`) or change the Windows host
(`host prepare`), and for copies to other machines than the share's. Neither key can write files of this machine or
choose another configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

LONGEST = 4096  # of a word; no path is longer


class RefusedError(Exception):
    """The request is not allowed."""

    def __init__(self, message: str, hint: str = "", exit_code: int = 2) -> None:
        super().__init__(message)
        self.hint, self.exit_code = hint, exit_code


class Kind(NamedTuple):
    """A kind of word: its name, and a test for it."""

    called: str
    fits: Callable[[str], bool]


def _like(called: str, pattern: str) -> Kind:
    return Kind(called, lambda text: re.fullmatch(pattern, text, re.ASCII) is not None)


MIRROR = _like("the name of a mirror", r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
SNAPSHOT = _like("a snapshot, such as 2026-11-20T030000Z, 2026-11-20, 1 or newest", r"[A-Za-z0-9][A-Za-z0-9:.-]{0,39}")
SHARE = _like("a percentage", r"[0-9]{1,3}(\.[0-9]{1,9})?%?")
NUMBER = _like("a number", r"[0-9]{1,20}")
PATH = Kind("a path", lambda text: len(text) <= LONGEST)
DESTINATION = Kind("a destination", lambda text: len(text) <= LONGEST)  # see `_destination`
_SHARED_FOLDER = re.compile(r"//(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*)/(?P<share>[^/]+)(?P<folder>(/[^/]+)*)/?")


class Command(NamedTuple):
    """A command: its options (None: a switch, else the kind of its value), its words, and the option that it needs."""

    options: Mapping[str, Kind | None]
    words: tuple[Kind, ...] = ()
    more: Kind | None = None
    needs: str = ""


_JSON: Mapping[str, Kind | None] = {"--json": None}
_OF_A_MIRROR: Mapping[str, Kind | None] = {"--json": None, "--mirror": MIRROR}

EVERYDAY: Mapping[str, Command] = {
    "copy-image": Command({"--full": None, "--dry-run": None, **_JSON}, (DESTINATION,)),
    "cat": Command({"--mirror": MIRROR}, (SNAPSHOT, PATH)),
    "diff": Command(_OF_A_MIRROR, (SNAPSHOT, SNAPSHOT, PATH)),
    "doctor": Command(_JSON),
    "find": Command({"--ignore-case": None, **_OF_A_MIRROR}, (PATH,)),
    "host check": Command(_JSON),
    "init": Command({}),
    "list": Command(_OF_A_MIRROR),
    "log": Command({"--last": NUMBER, **_JSON}, (MIRROR,)),
    "ls": Command(_OF_A_MIRROR, (SNAPSHOT, PATH)),
    "mount": Command(_JSON),
    "plan": Command({"--full": None, "--all": None, **_JSON}, more=MIRROR),
    "restore": Command(
        {"--push": None, "--checksum": None, "--dry-run": None, "--yes": None, **_OF_A_MIRROR},
        (SNAPSHOT,), more=PATH, needs="--push",
    ),
    "run": Command({"--dry-run": None, "--full": None, **_JSON}, more=MIRROR),
    "status": Command(_JSON),
    "umount": Command({}),
    "verify": Command(
        {"--full": None, "--found": None, "--heal": None, "--sample": SHARE, "--seed": NUMBER, **_OF_A_MIRROR},
        more=SNAPSHOT,
    ),
}  # fmt: skip
_DESTROYING: Mapping[str, Kind | None] = {"--dry-run": None, "--yes": None, "--accept-changes": None, **_OF_A_MIRROR}
_DESTROYING_ALL = {name: kind for name, kind in _DESTROYING.items() if name != "--mirror"}
ADMIN: Mapping[str, Command] = {
    **EVERYDAY,
    "doctor": Command({"--storage": None, **_JSON}),
    "forget": Command(_DESTROYING, more=SNAPSHOT),
    "host prepare": Command({"--dry-run": None, **_JSON}),
    "pin": Command({"--mirror": MIRROR}, (SNAPSHOT,)),
    "purge": Command({"--from-history": None, **_DESTROYING}, more=PATH),
    "retire": Command({"--with-pinned": None, **_DESTROYING_ALL}, (MIRROR,)),
    "run": EVERYDAY["run"]._replace(options={**EVERYDAY["run"].options, "--accept-changes": None}),
    "unpin": Command({"--mirror": MIRROR}, (SNAPSHOT,)),
}
_SHORT = {"-i": "--ignore-case", "-n": "--dry-run", "-y": "--yes"}


class Asked(NamedTuple):
    """A parsed request."""

    command: str
    options: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def argv(self) -> list[str]:
        return [*self.command.split(), *self.options, *(["--", *self.words] if self.words else [])]


def read(request: list[str], admin: bool, config: Mapping[str, Any]) -> Asked:
    """The request, if it is allowed for the key. Raises RefusedError."""
    try:
        asked = _read(request, ADMIN if admin else EVERYDAY)
    except RefusedError:
        if not admin and _read_or_none(request, ADMIN) is not None:
            raise RefusedError(
                f"{request[0]} with these words is not for this key",
                "it needs the administrator's key: 'snapmirror help two-keys'",
            ) from None
        raise
    if asked.command == "copy-image" and asked.words:
        return asked._replace(words=(_destination(asked.words[0], admin, config),))
    return asked


def _read_or_none(request: list[str], table: Mapping[str, Command]) -> Asked | None:
    try:
        return _read(request, table)
    except RefusedError:
        return None


def _read(request: list[str], table: Mapping[str, Command]) -> Asked:
    is_group = any(one.split()[0] == request[0] for one in table if " " in one) if request else False
    name = " ".join(request[: 2 if is_group else 1])
    command = table.get(name)
    if command is None:
        raise RefusedError(f"this key is for {', '.join(table)}")
    options: list[str] = []
    words: list[str] = []
    rest = iter(request[len(name.split()) :])
    for word in rest:
        _check_text(word)
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = _SHORT.get(option, option)
        if option not in command.options:
            raise RefusedError(f"{name} with {option!a} is not for this key")
        kind = command.options[option]
        if kind is None:
            if equals:
                raise RefusedError(f"{option} takes no value")
            options.append(option)
            continue
        value = value if equals else next(rest, "")
        _check(value, option, kind)
        options += [option, value]
    for place, word in enumerate(words):
        kind = command.words[place] if place < len(command.words) else command.more
        if kind is None:
            raise RefusedError(f"{name} has too many words")
        _check(word, name, kind)
    if command.needs and command.needs not in options:
        raise RefusedError(
            f"{name} is for this key only with {command.needs}: elsewhere it would write into this machine",
            "read files by sftp instead",
        )
    return Asked(name, tuple(options), tuple(words))


def _check_text(word: str) -> None:
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        raise RefusedError(f"{word[:80]!a} cannot be passed to a program") from None


def _check(word: str, where: str, kind: Kind) -> None:
    _check_text(word)
    if not kind.fits(word):
        raise RefusedError(f"{where}: {word[:80]!a} is not {kind.called}")


def _destination(word: str, admin: bool, config: Mapping[str, Any]) -> str:
    """A share or a folder on one: for the everyday key, beside the share of the image, on the same Windows host.

    A folder of this machine would be written by root; at another machine the account of the share would log in.
    """
    given = word.replace("\\", "/")
    if not word.startswith(("//", "\\\\")):  # (as in snapmirror: it reads /\\host as a folder)
        raise RefusedError(
            "copy-image is for this key only with a share: root would write into a folder of this machine",
            "without any words it copies to the destination of [copy] in the configuration",
        )
    match = _SHARED_FOLDER.fullmatch(given)
    if match is None or "," in given or not given.isprintable() or {".", ".."} & set(given.split("/")):
        raise RefusedError(f"copy-image: {word[:80]!a} is not a share, such as //10.253.71.1/usb")
    own = _SHARED_FOLDER.fullmatch(str(setting(config, "share", "unc") or "").replace("\\", "/"))
    if own is not None and [own[one].casefold() for one in ("host", "share")] == [
        match[one].casefold() for one in ("host", "share")
    ]:
        raise RefusedError("copy-image: the image itself lies on that share", "name one of another disk")
    if not admin and (own is None or own["host"].casefold() != match["host"].casefold()):
        raise RefusedError(
            "copy-image is for this key only with a share of the machine that holds the image",
            "other machines need the administrator's key, or must be in [copy] of the configuration",
        )
    return given  # as parsed: snapmirror would read /\\ at the beginning as a folder


def setting(config: Mapping[str, Any], section: str, name: str) -> Any:
    """A value of snapmirror.toml; None if there is none, whatever else is wrong with the file."""
    table = config.get(section)
    return table.get(name) if isinstance(table, dict) else None
