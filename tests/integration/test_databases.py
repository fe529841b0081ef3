"""A night that copies a running database says so; the files of SQLite are real ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.files import put
from tests.support.runner import Scene

MAIN = "var/lib/postgresql/15/main"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    put(scene.source / "etc/hosts", b"127.0.0.1 localhost\n")
    yield scene
    scene.kill_processes()


def test_sqlite_is_seen_while_it_is_written(scene: Scene) -> None:
    with closing(sqlite3.connect(scene.source / "app.db")) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table t (a)")
        database.commit()
        [warning] = scene.night(expect=(3,)).mirror["warnings"]
        assert "a running SQLite has its data in /app.db" in warning
    scene.night()


def test_where_it_is_told(scene: Scene) -> None:
    put(scene.source / MAIN / "postmaster.pid", b"123\n")
    sentence = f"a running PostgreSQL 15 has its data in /{MAIN}"
    assert sentence in scene.command("plan").stdout + scene.command("plan").stderr
    [warning] = scene.night(expect=(3,)).mirror["warnings"]
    assert warning.startswith(sentence)
    scene.night(expect=(3,))  # it is still there, although nothing has changed
    status = scene.command("status")
    assert status.exit_code == 3
    assert sentence in status.stdout + status.stderr
    doctor = scene.command("doctor")
    assert sentence in doctor.stdout + doctor.stderr
    scene.configure(known_databases=[f"/{MAIN}"])
    scene.night()
    assert scene.command("status").exit_code == 0


def test_an_excluded_folder_is_not_told(scene: Scene) -> None:
    put(scene.source / MAIN / "postmaster.pid", b"123\n")
    scene.configure(exclude=[f"/{MAIN}/"])
    scene.night()
