"""Databases that run while their files are copied, known by the names in a listing. Such copies cannot be relied on.

Of twelve copies of PostgreSQL and MariaDB under load none was right: ten did not start, two started with other rows,
and rsync had ended with 0 or 24. What is looked for exists only while the database runs, or after a crash:

    PostgreSQL        postmaster.pid
    MySQL, MariaDB    ibtmp1
    MongoDB           mongod.lock, with a process id in it
    SQLite            NAME-shm beside NAME-wal

OpenLDAP (lock.mdb beside data.mdb) and Berkeley DB (__db.001) leave their files behind: they may run. Runs no program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from snapmirror.model import count
from snapmirror.snapshots.entry import escape, parent, parse
from snapmirror.snapshots.lines import Line, ending, is_file

NO_BACKUP = "a copy of the files of a running database cannot be relied on"
_SHM, _WAL = b"-shm", b"-wal"
_POSTGRESQL, _INNODB, _MONGODB = b"postmaster.pid", b"ibtmp1", b"mongod.lock"
_LMDB, _LMDB_DATA, _BERKELEY = b"lock.mdb", b"data.mdb", b"__db.001"
_ARIA = b"aria_log_control"  # MariaDB has it, MySQL has not
_ENDS = (
    *(b"/" + name for name in (_POSTGRESQL, _INNODB, _MONGODB, _LMDB, _LMDB_DATA, _BERKELEY, _ARIA)), _SHM, _WAL,
)  # fmt: skip
_VERSION = re.compile(rb"/?(?:[^/]+/)*(?:postgresql|pgsql)/(\d+(?:\.\d+)?)/[^/]+")
_MOST = 10_000  # names that are remembered: a server could list any number
_SHOWN = 3


class Database(Struct, frozen=True):
    """A database: what it is, and where its data lies (a folder; of SQLite the file), without a slash in front.

    `runs`: it runs or has crashed; otherwise it may run.
    """

    kind: str
    path: bytes
    runs: bool = True


class Databases:
    """Collects the signs from a listing while it is read."""

    def __init__(self) -> None:
        self._signs: dict[bytes, set[bytes]] = {}

    def look(self, lines: Iterable[Line]) -> None:
        """Note the signs among some lines."""
        for line in ending(lines, _ENDS):
            if is_file(line):
                self._note(line)

    def _note(self, line: Line) -> None:
        one = parse(line)
        name = one.path.rpartition(b"/")[2]
        if name.endswith((_SHM, _WAL)):
            place, name = one.path[: -len(_SHM)], name[-len(_SHM) :]
        else:
            place = parent(one.path)
        if name == _MONGODB and one.size == 0:
            return
        if place in self._signs or len(self._signs) < _MOST:
            self._signs.setdefault(place, set()).add(name)

    def found(self) -> Iterator[Database]:
        """The databases, in the order of the listing."""
        for place, signs in self._signs.items():
            if _POSTGRESQL in signs:
                version = _VERSION.fullmatch(place)
                yield Database(f"PostgreSQL {version[1].decode()}" if version else "PostgreSQL", place)
            elif _INNODB in signs:
                yield Database("MariaDB" if _ARIA in signs else "MySQL", place)
            elif _MONGODB in signs:
                yield Database("MongoDB", place)
            elif signs >= {_SHM, _WAL}:
                yield Database("SQLite", place)
            elif signs >= {_LMDB, _LMDB_DATA}:
                yield Database("OpenLDAP (LMDB)", place, runs=False)
            elif _BERKELEY in signs:
                yield Database("Berkeley DB", place, runs=False)


def warnings(databases: Iterable[Database], known: Sequence[str]) -> Iterator[str]:
    """A sentence for each kind of database that no pattern of `known` names."""
    kinds: dict[tuple[str, bool], list[str]] = {}
    for one in databases:
        path = "/" if one.path == b"." else f"/{escape(one.path).decode('utf-8', 'backslashreplace')}"
        if not any(fnmatchcase(path, pattern.rstrip("/") or "/") for pattern in known):
            kinds.setdefault((one.kind, one.runs), []).append(path)
    for (kind, runs), paths in kinds.items():
        shown = ", ".join(paths[:_SHOWN])
        if more := len(paths[_SHOWN:]):
            shown = f"{shown} and {count(more, 'more', 'more')}"
        names = json.dumps(paths[:_SHOWN], ensure_ascii=False)
        what = f"a running {kind} has its data in" if runs else f"{kind} has data that may be in use in"
        yield (
            f"{what} {shown}: {NO_BACKUP}; dump it into a file before each night (its folder can then be excluded), "
            f"or set known_databases = {names} if you do"
        )
