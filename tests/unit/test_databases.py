"""Running databases are recognized by the names in a listing, in the layouts of Debian, RHEL and Docker volumes.

What PostgreSQL 15, MariaDB 10.11 and slapd of Debian 12 have in their folders while they run, and after that, was
looked up in real ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots.entry import escape
from snapmirror.snapshots.lines import Line
from snapmirror.sources.databases import Database, Databases, warnings

POSTGRESQL = "PG_VERSION base/1/112 global/pg_control pg_wal/000000010000000000000001 postmaster.opts"
MARIADB = "aria_log.00000001 aria_log_control ib_buffer_pool ib_logfile0 ibdata1 multi-master.info mysql/user.frm"
MYSQL = "auto.cnf binlog.000001 ibdata1 mysql.ibd undo_001 #innodb_redo/#ib_redo1"
MONGODB = "WiredTiger WiredTiger.lock WiredTiger.wt _mdb_catalog.wt mongod.lock"
SQLITE = "app.db app.db-journal other.db"

RUNNING = [
    (f"{POSTGRESQL} postmaster.pid", "var/lib/postgresql/15/main", "PostgreSQL 15"),
    (f"{POSTGRESQL} postmaster.pid", "var/lib/pgsql/16/data", "PostgreSQL 16"),
    (f"{POSTGRESQL} postmaster.pid", "var/lib/pgsql/data", "PostgreSQL"),
    (f"{POSTGRESQL} postmaster.pid", "var/lib/docker/volumes/shop_db/_data", "PostgreSQL"),
    (f"{MARIADB} ddl_recovery.log ibtmp1", "var/lib/mysql", "MariaDB"),
    (f"{MYSQL} ibtmp1", "var/lib/docker/volumes/blog/_data", "MySQL"),
    (MONGODB, "var/lib/mongodb", "MongoDB"),
]


def line(path: str | bytes, size: int = 5, item: bytes = b">f+++++++++") -> Line:
    name = escape(path if isinstance(path, bytes) else path.encode())
    return Line(b"%s|rw-r--r--|0|0|%d|2026/11/20-03:00:00|//%s" % (item, size, name))


def found(lines: Iterable[Line]) -> list[Database]:
    databases = Databases()
    for one in lines:
        databases.look([one])
    return list(databases.found())


@pytest.mark.parametrize(("names", "folder", "kind"), RUNNING)
def test_a_running_database_is_seen(names: str, folder: str, kind: str) -> None:
    assert found(line(f"{folder}/{name}") for name in names.split()) == [Database(kind, folder.encode())]


@pytest.mark.parametrize("names", [POSTGRESQL, MARIADB, MYSQL, SQLITE])
def test_none_is_seen_where_none_runs(names: str) -> None:
    assert found(line(f"var/lib/data/{name}") for name in names.split()) == []


def test_mongodb_leaves_an_empty_lock() -> None:
    assert found(line(f"var/lib/mongodb/{name}", 0) for name in MONGODB.split()) == []


def test_a_write_ahead_log_of_sqlite_needs_its_index() -> None:
    assert found([line("home/anna/places.sqlite-wal"), line("home/anna/places.sqlite-shm")]) == [
        Database("SQLite", b"home/anna/places.sqlite")
    ]
    assert found([line("home/anna/notes-wal"), line("home/otto/notes-shm"), line("posix-shm")]) == []


def test_what_leaves_its_files_behind_may_run() -> None:
    assert found([line("var/lib/ldap/data.mdb"), line("var/lib/ldap/lock.mdb"), line("srv/svn/db/__db.001")]) == [
        Database("OpenLDAP (LMDB)", b"var/lib/ldap", runs=False), Database("Berkeley DB", b"srv/svn/db", runs=False),
    ]  # fmt: skip


def test_the_root_itself_and_odd_names() -> None:
    assert found([line("postmaster.pid")]) == [Database("PostgreSQL", b".")]
    odd = b"a\nb\\#012/\xff"
    assert found([line(odd + b"/ibtmp1")]) == [Database("MySQL", odd)]


def test_only_files_count() -> None:
    names = ("a/postmaster.pid", "b/ibtmp1")
    assert found(line(name, item=item) for name in names for item in (b"cd+++++++++", b"cL+++++++++")) == []


@given(st.lists(st.text(st.sampled_from("ab/.-shmwalpostmaster_"), min_size=1, max_size=30)))
def test_a_listing_in_blocks_gives_the_same(names: list[str]) -> None:
    lines = [line(name) for name in names]
    at_once = Databases()
    at_once.look(lines)
    assert list(at_once.found()) == found(lines)


def test_a_server_that_lists_millions_fills_no_memory() -> None:
    many = found(line(f"{number}/postmaster.pid") for number in range(20_000))
    assert len(many) == 10_000
    [sentence] = warnings(many, ())
    assert "/0, /1, /2 and 9,997 more:" in sentence
    assert len(sentence) < 500


def test_known_ones_are_not_told() -> None:
    databases = [Database("SQLite", f"home/{name}/app.db".encode()) for name in ("anna", "otto")]
    databases.append(Database("PostgreSQL 15", b"var/lib/postgresql/15/main"))
    sentences = list(warnings(databases, ()))
    assert sentences[0].startswith("a running SQLite has its data in /home/anna/app.db, /home/otto/app.db: ")
    assert sentences[1].endswith('or set known_databases = ["/var/lib/postgresql/15/main"] if you do')
    assert list(warnings(databases, ["/home/*.db", "/var/lib/postgresql/15/main/"])) == []
    assert list(warnings([Database("PostgreSQL", b".")], ["/"])) == []
