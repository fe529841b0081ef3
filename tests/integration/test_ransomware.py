"""Ransomware, fast and slow, against the guards as they are by default; and honest histories, which raise no alarm.

Days pass by a shifted clock. What attacks leave are real files in a real store: the guard's word is the exit code.
"""

from __future__ import annotations

import gzip
import os
import random
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.clock import shifted
from tests.support.runner import LONG, Result, Scene
from tests.support.sshd import sshd_running

WORDS = ["invoice", "order", "customer", "street", "total", "amount", "date", "paid", "name", "report", "week", "plan"]
GUARD = {"min_free": "1M", "min_free_inodes": 10}  # all that is about changes is the default
START = datetime(2026, 1, 1, 2, tzinfo=UTC)


class Server:
    """A source whose files carry the time of the day on which they are written."""

    def __init__(self, folder: Path, seed: str) -> None:
        self.folder, self.day, self.rng = folder, 0, random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)

    def text(self, size: int = 700) -> bytes:
        return " ".join(self.rng.choices(WORDS, k=size // 6)).encode()[:size]

    def noise(self, size: int = 700) -> bytes:
        return self.rng.randbytes(size)

    def put(self, name: str, content: bytes, *, days_old: float = 0) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        moment = (START + timedelta(days=self.day - days_old)).timestamp()
        os.utime(path, (moment, moment))

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def documents(self, number: int, content: Callable[[], bytes]) -> None:
        for one in range(number):
            self.put(f"dept{one % 10}/doc-{chr(97 + one % 26)}{one}.txt", content(), days_old=100 + one % 50)


def shift(day: int) -> list[str]:
    moment = START + timedelta(days=day, hours=1)
    return shifted(f"{moment.timestamp() - datetime.now(UTC).timestamp():+.0f}")


def night(scene: Scene, server: Server, *words: str) -> Result:
    """The next night, a day later."""
    server.day += 1
    return scene.command("run", "--json", *words, under=shift(server.day))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.configure(keep_last=3, guard=GUARD, retention={"keep_at_least_days": 14})
    return scene


@pytest.fixture
def server(scene: Scene) -> Server:
    return Server(scene.source, "server")


def refused(scene: Scene, result: Result, says: str) -> None:
    """13, a sentence that names the limit, nothing published."""
    assert result.exit_code == 13, str(result)
    assert says in result.mirror["error"], result.mirror["error"]
    assert "--accept-changes" in result.mirror["hint"]
    assert result.mirror["snapshot"] is None
    assert scene.leftovers() == []


def status(scene: Scene, server: Server) -> Result:
    return scene.command("status", "--json", under=shift(server.day))


# -- attacks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["text", "random"])
def test_forty_five_percent_changed_a_night(scene: Scene, server: Server, content: str) -> None:
    """Other text: the first night is published with a warning, the second is refused. Random data: the first one is."""
    server.documents(400, server.text)
    assert night(scene, server).exit_code == 0
    names = server.names()
    change = server.noise if content == "random" else server.text
    for name in names[:180]:
        server.put(name, change())
    first = night(scene, server)
    if content == "random":
        refused(scene, first, "max_scrambled = 50%")
        assert first.mirror["error"].startswith("128 of 128 replaced files, in a sample of 128, hold random data")
        return
    assert first.exit_code == 3, str(first)
    [warning] = first.mirror["warnings"]
    since = list(scene.published())[-1]
    stops = "the guard stops at max_lost = 50%"
    assert warning == f"180 of 400 files (45%) have gone or changed since {since}; {stops}"
    told = status(scene, server)
    assert told.exit_code == 3 and told.json["mirrors"][0]["warnings"] == [warning], str(told)
    for name in names[180:360]:
        server.put(name, change())
    refused(scene, night(scene, server), "360 of 400 files (90%) have gone or changed")
    assert len(scene.published()) == 2
    assert scene.command("status", under=shift(server.day)).exit_code == 3
    assert night(scene, server, "--accept-changes").exit_code == 0, "an administrator who means it"
    assert night(scene, server).exit_code == 0, "is not asked again about the same"
    for name in names[:180]:
        server.put(name, change())
    assert night(scene, server).exit_code == 3


@pytest.mark.parametrize("content", ["kept", "random"])
def test_twenty_nine_percent_renamed_a_night(scene: Scene, server: Server, content: str) -> None:
    server.documents(400, server.text)
    assert night(scene, server).exit_code == 0
    names = server.names()

    def rename(some: list[str]) -> None:
        for name in some:
            old = server.folder / name
            if content == "random":
                server.put(name, server.noise(old.stat().st_size + 256))
            old.rename(f"{old}.locked")

    rename(names[:116])
    result = night(scene, server)
    if content == "random":
        refused(scene, result, "max_scrambled")
        return
    assert result.exit_code == 3 and "116 of 400 files (29%)" in result.mirror["warnings"][0], str(result)
    rename(names[116:232])
    refused(scene, night(scene, server), "232 of 400 files (58%) have gone or changed")


@pytest.mark.parametrize("content", ["text", "random"])
def test_five_percent_a_night(scene: Scene, server: Server, content: str) -> None:
    """Random data is refused in the first night. Other text is told from the sixth on, as long as it lasts."""
    server.documents(600, server.text)
    assert night(scene, server).exit_code == 0
    names = server.names()
    codes = []
    for number in range(20 if LONG else 8):
        for name in names[30 * number : 30 * (number + 1)]:
            server.put(name, server.noise() if content == "random" else server.text())
        result = night(scene, server)
        if content == "random":
            refused(scene, result, "max_scrambled")
            return
        codes.append(result.exit_code)
        if number == 6:
            assert "210 of 600 files (35%) have gone or changed since 2026-01-02T" in result.mirror["warnings"][0]
    assert codes == [0] * 5 + [3] * (len(codes) - 5)
    assert status(scene, server).exit_code == 3


@pytest.mark.parametrize("kind", ["text", "packed", "renamed"])
def test_ninety_files_at_once_in_a_small_mirror(scene: Scene, server: Server, kind: str) -> None:
    """Fewer than at_least: seen by content, and where that was compressed before, by their share."""
    server.documents(99, (lambda: gzip.compress(server.text(3000))) if kind == "packed" else server.text)
    assert night(scene, server).exit_code == 0
    for name in server.names()[:90]:
        server.put(name, server.noise(900))
        if kind == "renamed":
            (server.folder / name).rename(server.folder / f"{name}.locked")
    refused(scene, night(scene, server), "90 of 99 files have gone or changed at once: more than max_lost = 50%")
    scene.configure(guard={**GUARD, "max_lost": "100%", "warn_lost": "100%"})
    result = night(scene, server)
    if kind == "packed":
        assert result.exit_code == 0, str(result)
    else:
        refused(scene, result, "max_scrambled")


def test_a_clock_that_jumps_ahead_neither_expires_nor_hides_anything(scene: Scene, server: Server) -> None:
    """Who answers for the time server lets a month pass with each night: the days do not count."""
    server.documents(400, server.text)
    for _ in range(5):
        assert night(scene, server).exit_code == 0
    names = server.names()
    for name in names[:160]:
        server.put(name, server.text())
    server.day += 400
    first = night(scene, server)
    assert first.exit_code == 3 and "160 of 400 files" in first.mirror["warnings"][0], str(first)
    assert first.mirror["expired"] == [] and len(scene.published()) == 6
    for name in names[160:320]:
        server.put(name, server.text())
    server.day += 400
    refused(scene, night(scene, server), "320 of 400 files")


def test_what_keeps_size_and_time_changes_nothing_that_is_kept(scene: Scene, server: Server) -> None:
    """No night sees it, full or not. So it does not get into history either: what is kept stays what it was."""
    server.documents(150, server.text)
    assert night(scene, server).exit_code == 0
    before = {name: (server.folder / name).read_bytes() for name in server.names()}
    for name in before:
        path = server.folder / name
        was = path.stat()
        path.write_bytes(server.noise(was.st_size))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    for words in ((), ("--full",)):
        result = night(scene, server, *words)
        assert result.exit_code == 0 and result.mirror["updated"] == 0, str(result)
    for slot in scene.slots().values():
        assert {name: (slot / name).read_bytes() for name in before} == before


def test_no_room_names_what_holds_it(scene: Scene, server: Server) -> None:
    server.documents(10, server.text)
    for _ in range(5):
        assert night(scene, server).exit_code == 0
    scene.configure(guard={"min_free": "900P", "min_free_inodes": 10})
    result = night(scene, server)
    assert result.exit_code == 11, str(result)
    assert "2 snapshots stay beyond keep_last = 3 because of keep_at_least_days = 14" in result.mirror["hint"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to be somebody else on the server")
def test_what_cannot_be_listed_is_not_lost() -> None:
    """The folder of half of all files is closed for a night: they are kept, so they do not add to what has changed."""
    with (
        tempfile.TemporaryDirectory(prefix="ransomware.", dir="/tmp") as folder,
        sshd_running(Path(folder) / "sshd") as sshd,
    ):
        Path(folder).chmod(0o755)
        scene = Scene(Path(folder) / "scene")
        server = Server(scene.source, "closed")
        nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups rsync"
        scene.configure(source=f"{sshd.login}:{scene.source}/", rsync_path=nobody, guard=GUARD, **sshd.options())
        server.documents(400, server.text)
        for name in server.names()[:200]:
            server.put(f"other/{name}", server.text(), days_old=90)
        assert night(scene, server).exit_code == 0
        for name in server.names()[:160]:
            server.put(name, server.text())
        assert night(scene, server).exit_code == 3
        server.put(server.names()[160], server.text())
        (scene.source / "other").chmod(0)
        closed = night(scene, server)
        assert closed.exit_code == 3 and closed.mirror["degraded"], str(closed)
        assert any("161 of 600 files (27%)" in one for one in closed.mirror["warnings"]), str(closed)


# -- honest histories ------------------------------------------------------------------------------------------------


def _logs(server: Server) -> None:
    """80 logs, rotated each night by number, compressed from the second on; seven are kept."""
    for one in range(80):
        log = server.folder / f"log/app{one}.log"
        for number in range(7, 1, -1):
            older = server.folder / f"log/app{one}.log.{number - 1}.gz"
            if older.exists():
                older.rename(server.folder / f"log/app{one}.log.{number}.gz")
        if (first := log.with_name(log.name + ".1")).exists():
            server.put(f"log/app{one}.log.2.gz", gzip.compress(first.read_bytes()))
        if log.exists():
            log.rename(first)
        server.put(f"log/app{one}.log", server.text())
    if server.day == 0:
        for one in range(400):
            server.put(f"etc/conf{one}", server.text(200), days_old=300)


def _dumps(server: Server) -> None:
    """A database dump that is replaced each night, dated ones of seven days, and a few settings."""
    server.put("db.sql", server.text(200_000))
    for one in range(20):
        server.put(f"dated/db{one}-{START + timedelta(days=server.day):%Y-%m-%d}.sql.gz", server.noise(500))
        (server.folder / f"dated/db{one}-{START + timedelta(days=server.day - 7):%Y-%m-%d}.sql.gz").unlink(
            missing_ok=True
        )
    if server.day == 0:
        for one in range(7 * 20):
            server.put(
                f"dated/db{one // 7}-{START + timedelta(days=-1 - one % 7):%Y-%m-%d}.sql.gz",
                server.noise(500), days_old=1 + one % 7,
            )  # fmt: skip
        for one in range(20):
            server.put(f"conf{one}", server.text(100), days_old=50)


def _photos(server: Server) -> None:
    """Photos come, some are rated (their side files change), an album is renamed."""
    for one in range(60):
        server.put(f"2026/day{server.day}/IMG_{one:04d}.jpg", b"\xff\xd8\xff" + server.noise(2000))
        server.put(f"2026/day{server.day}/IMG_{one:04d}.xmp", server.text(300))
    if server.day == 5:
        for album in ("day0", "day1"):
            (server.folder / "2026" / album).rename(server.folder / f"2026/holiday {album}")


def _deploy(server: Server) -> None:
    """A release in a folder of its own each day, the last three stay; uploads beside it."""
    release = f"{server.rng.getrandbits(40):010x}"
    for one in range(150):
        text = random.Random(one).choices(WORDS, k=100)
        if one == server.day:
            text.append("changed")
        server.put(f"releases/{release}/page{one}.php", " ".join(text).encode())
    kept = sorted((server.folder / "releases").iterdir(), key=lambda path: (path / "page0.php").stat().st_mtime)
    for old in kept[:-3]:
        for path in old.iterdir():
            path.unlink()
        old.rmdir()
    for one in range(10):
        server.put(f"uploads/{server.day}-{one}.jpg", server.noise(1500))


def _mail(server: Server) -> None:
    """Mails come, are read (their names change), are moved to a folder, and some are thrown away."""
    base = 1_700_000_000 + server.day * 1000
    if server.day == 0:
        for one in range(300):
            server.put(f"cur/{base - 9000 - one}.M{one}.host:2,S", server.text(), days_old=60)
    for one in range(40):
        server.put(f"new/{base + one}.M{one}.host", server.text())
    for path in sorted((server.folder / "new").iterdir())[:20]:
        path.rename(server.folder / f"cur/{path.name}:2,S")
    read = sorted(path for path in (server.folder / "cur").iterdir())
    for path in read[:15]:
        (server.folder / ".Archive/cur").mkdir(parents=True, exist_ok=True)
        path.rename(server.folder / f".Archive/cur/{path.name}")
    for path in read[15:20]:
        path.unlink()
    for path in read[20:40]:
        path.rename(path.with_name(path.name.replace(":2,S", ":2,RS")))


def _three(server: Server) -> None:
    """Three files, of which two change each night."""
    for name in ("a", "b", "c") if server.day == 0 else ("a", "b"):
        server.put(name, server.noise())


HONEST = {"logs": _logs, "dumps": _dumps, "photos": _photos, "deploy": _deploy, "mail": _mail, "three": _three}


def test_honest_histories_raise_no_alarm(tmp_path: Path) -> None:
    """Ten nights of each, in one store; not a word in any of them."""
    scene = Scene(tmp_path, name="three")
    servers = {name: Server(scene.folder / "servers" / name, name) for name in HONEST}
    scene.configure(guard=GUARD, source=f"{servers['three'].folder}/")
    text = scene.config.read_text()
    for name, server in servers.items():
        if name != "three":
            text += f'[[mirror]]\nname = "{name}"\nsource = "{server.folder}/"\n[mirror.guard]\nmin_free = "1M"\n'
            text += "[mirror.retention]\nkeep_last = 3\n"
    scene.config.write_text(text)
    for day in range(20 if LONG else 10):
        for name, live in HONEST.items():
            servers[name].day = day
            live(servers[name])
        result = scene.command("run", "--json", under=shift(day))
        words = {one["mirror"]: (one["error"], one["warnings"]) for one in result.json["mirrors"]}
        assert result.exit_code == 0, f"day {day}: {words}"
    told = scene.command("status", under=shift(day))
    assert told.exit_code == 0 and "all is well" in told.stdout, str(told)
