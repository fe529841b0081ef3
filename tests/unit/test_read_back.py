"""Reading all contents back, a share each night: nothing is left out for longer than promised, or read twice."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapmirror.errors import Interrupted
from snapmirror.model import Silent
from snapmirror.snapshots import checksums, packed
from snapmirror.snapshots.entry import escape, plain_line
from snapmirror.snapshots.lines import since_prefix, with_number
from snapmirror.snapshots.manifest import Header, Writer
from snapmirror.snapshots.record import Snapshot, make_id
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.verify import Report, rolling
from snapmirror.snapshots.verify.draw import WHOLE, draw, names, place_of
from snapmirror.snapshots.verify.rolling import Reading, Round

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FILE_TIME = 1_700_000_000


class History:
    """Snapshots as a store has them: manifests, checksum files, and one folder that all of them share."""

    def __init__(self, root: Path) -> None:
        self.root, self.sequence = root, 0
        self.tree_path = root / "tree"
        self.tree_path.mkdir()
        self.kept: list[Snapshot] = []
        self.born: dict[bytes, int] = {}
        self.held: dict[int, dict[bytes, int]] = {}

    def night(self, new: list[bytes], gone: list[bytes], keep: int) -> None:
        """Publish: every new name gets a file, of as many bytes as its own number among all that there ever were."""
        self.sequence += 1
        spool = Spool[bytes, bytes]()
        for name in gone:
            del self.born[name]
        for name in new:
            self.born[name] = self.sequence
            path = self.tree_path / os.fsdecode(name)
            path.write_bytes(content_of(name))
            os.utime(path, (FILE_TIME, FILE_TIME))
            spool.append((checksums.of_file(path), escape(name)))
        self.checksums(self.sequence).write_bytes(packed.pack(spool))
        one = Snapshot(
            id=make_id(NOON + self.sequence * DAY), sequence=self.sequence, slot=1,
            files=0, entries=0, bytes=0, new_bytes=0,
        )  # fmt: skip
        writer = Writer(Header(one.id, one.sequence))
        for name, number in sorted(self.born.items()):
            attributes = b"f|rw-r--r--|0|0|%d|2023/11/14-22:13:20" % len(content_of(name))
            writer.add(with_number(since_prefix(number), plain_line(attributes, name)))
        self.manifest(one).write_bytes(writer.finish())
        self.held[one.sequence] = dict(self.born)
        self.kept = [one, *self.kept][:keep]

    def stored(self) -> set[bytes]:
        """Every name that some kept snapshot holds."""
        return {name for one in self.kept for name in self.held[one.sequence]}

    def snapshots(self) -> list[Snapshot]:
        return list(self.kept)

    def next_sequence(self) -> int:
        return self.sequence + 1

    def mounted(self, snapshot: Snapshot) -> Path:
        return self.tree_path

    def manifest(self, snapshot: Snapshot) -> Path:
        return self.root / f"{snapshot.sequence}.manifest"

    def checksums(self, sequence: int) -> Path:
        return self.root / f"{sequence}.sums"


def name_of(number: int) -> bytes:
    return b"%d\n\xff" % number if number % 7 == 0 else b"name %d" % number


def content_of(name: bytes) -> bytes:
    """No two names have as many bytes: so the progress tells which was read."""
    return b"x" * (int(name.removeprefix(b"name ").removesuffix(b"\n\xff")) + 1)


class Watched(Silent):
    """Which contents are read, by their sizes; breaks off where it is told to."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.sizes: list[int] = []
        self.stop_after = stop_after

    def advance(self, names: int, size: int = 0) -> None:
        if size:
            self.sizes.append(size)
            if self.stop_after is not None and len(self.sizes) >= self.stop_after:
                raise Interrupted(15, "SIGTERM")


@pytest.fixture(autouse=True, scope="module")
def _small_steps() -> Iterator[None]:
    """A few contents are many: they are drawn five at once, and noted after three."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rolling, "_AT_ONCE", 5)
        patch.setattr(rolling, "_STRETCH", 3)
        yield


NIGHTS = st.lists(
    st.tuples(
        st.floats(0.6, 6),  # days since the night before
        st.integers(0, 6),  # new files
        st.integers(0, 3),  # removed ones
        st.sampled_from([None, None, None, 0, 1, 2]),  # stretches after which it is late
        st.sampled_from([None, None, None, None, 1, 4]),  # files after which it dies
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60)
@given(days=st.integers(1, 12), keep=st.integers(1, 5), first=st.integers(0, 40), nights=NIGHTS, regular=st.booleans())
def test_everything_is_read_once_in_a_round_and_in_time(
    days: int,
    keep: int,
    first: int,
    nights: list[tuple[float, int, int, int | None, int | None]],
    regular: bool,
) -> None:
    """A turn of the places is a round. Where all nights have their time, none is left out for longer than promised."""
    rng = random.Random(first)
    with tempfile.TemporaryDirectory(prefix="read-back.") as folder:
        history, path, now, count = History(Path(folder)), Path(folder) / "state.json", NOON, first
        history.night([name_of(number) for number in range(first)], [], keep)
        turned = 0  # places that were passed, over all rounds
        since = dict.fromkeys(history.stored(), now)  # the last time that it was read, or came
        for gap, come, go, late, dies in nights:
            if regular:
                gap, late, dies = 1.0, None, None
            now += gap * DAY
            now = now.replace(microsecond=0)
            gone = rng.sample(sorted(history.born), min(go, len(history.born)))
            history.night([name_of(number) for number in range(count, count + come)], gone, keep)
            count += come
            since = {name: since.get(name, now) for name in history.stored()}
            state = rolling.load(path)
            assert state is not None
            progress, report = Watched(dies), Report("web")
            lateness = chain(repeat(False, late or 0), repeat(late is not None))
            reading = Reading(history, state, report, progress)  # type: ignore[arg-type]
            with suppress(Interrupted):
                reading.run(now, days, partial(next, lateness), lambda state: rolling.save(state, path))
            assert report.findings == []
            after = rolling.load(path)
            assert after is not None
            passed = (int(after.place, 16) - int(state.place, 16)) % WHOLE
            if not passed and after != state:
                passed = WHOLE
            read = {name for name in since if len(content_of(name)) in progress.sizes}
            assert len(progress.sizes) == len(set(progress.sizes)), "read twice in one night"
            for name, when in since.items():
                offset = (place_of(hashlib.md5(content_of(name)).hexdigest().encode()) - int(state.place, 16)) % WHOLE
                if offset < passed:
                    assert name in read, "passed, but not read"
                    if regular:
                        assert now - when <= days * DAY, "left out for too long"
                    since[name] = now
                elif dies is None:
                    assert name not in read, "read out of turn"
            turned += passed
        if regular and nights:
            assert all(now - when <= days * DAY for when in since.values()), "left out for too long"
            assert turned >= min(1.0, len(nights) / max(days - 1, 1)) * WHOLE * (1 - 1e-9)


def test_an_even_pace_whatever_the_nights() -> None:
    state = Round()
    assert state.due(NOON, 30) == pytest.approx(1 / 29), "the first night reads a day's share"
    state = state.advanced(1, NOON, NOON)
    assert state.due(NOON + 0.4 * DAY, 30) == 0, "a second run of the day"
    assert state.due(NOON + 0.99 * DAY, 30) == pytest.approx(0.99 / 29)
    assert state.due(NOON + 8 * DAY, 30) == pytest.approx(8 / 29), "what a week without nights has left"
    assert state.due(NOON + 8 * DAY, 10) == pytest.approx(8 / 9), "the days have been changed"
    assert state.due(NOON + 1000 * DAY, 30) == 1.0, "all, and no more"
    assert state.due(NOON - 1000 * DAY, 30) == pytest.approx(1 / 29), "a clock that was ahead is no reason to stop"
    assert state.due(NOON + DAY, 1) == 1.0


def test_a_round_that_is_complete_says_when() -> None:
    state = Round().advanced(WHOLE - 1, NOON, NOON)
    assert (state.completed, state.told(NOON).share) == (None, 1.0)
    state = state.advanced(1, NOON + DAY, NOON + DAY)
    told = state.told(NOON + 3 * DAY)
    assert (told.share, told.completed) == (0.0, (NOON + DAY).timestamp())
    assert told.behind_seconds == 2 * 86_400


@given(data=st.data())
def test_a_damaged_note_is_never_believed_half(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(prefix="read-back.") as folder:
        path = Path(folder) / "state.json"
        rolling.save(Round(place="00ff" * 4).advanced(5, NOON, NOON), path)
        whole = path.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        damaged = data.draw(
            st.sampled_from([whole[:place], whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + 1 :]])
        )
        path.write_bytes(damaged)
        state = rolling.load(path)
        if state is not None:
            assert 0 <= state.due(NOON, 30) <= 1
            state.told(NOON)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Twenty files that are older than all of the three snapshots, and one that is new in each."""
    history = History(tmp_path)
    for night in range(5):
        history.night([name_of(number) for number in (range(20) if not night else [20 + night])], [], 3)
    return history


def read_all(history: History, state: Round | None = None) -> tuple[Report, Reading]:
    report = Report("web")
    reading = Reading(history, state or Round(), report, Silent())  # type: ignore[arg-type]
    reading.run(NOON, 1, lambda: False, lambda state: None)
    return report, reading


def test_what_the_oldest_manifest_cannot_say_the_next_one_does(history: History) -> None:
    oldest = history.kept[-1]
    history.manifest(oldest).write_bytes(b"rubbish")
    report, _ = read_all(history)
    assert [(one.kind, one.snapshots) for one in report.findings] == [("manifest", [oldest.id])]
    assert report.files_read == 24


def test_checksums_that_are_missing_or_cut_are_told(history: History) -> None:
    history.checksums(1).unlink()
    history.checksums(4).write_bytes(history.checksums(4).read_bytes()[:-1])
    report, _ = read_all(history)
    assert sorted((one.kind, one.number) for one in report.findings) == [("checksums", 1), ("checksums", 4)]


def test_what_is_damaged_is_looked_at_until_it_is_right(history: History) -> None:
    path = history.tree_path / "name 5"
    path.write_bytes(b"y" * 6)
    os.utime(path, (FILE_TIME, FILE_TIME))
    (history.tree_path / "name 6").unlink()
    report, reading = read_all(history)
    assert sorted((one.kind, one.path) for one in report.findings) == [("content", b"name 5"), ("missing", b"name 6")]
    state = Round.model_validate_json(reading.state.model_dump_json())
    assert {one.path_base64 for one in state.damaged} == {b"name 5", b"name 6"}
    report, reading = read_all(history, state)  # nothing is due
    assert (report.files_read, len(report.findings), set(reading.state.damaged)) == (1, 2, set(state.damaged))
    assert reading.state.model_copy(update={"damaged": ()}) == state.model_copy(update={"damaged": ()})
    path.write_bytes(b"x" * 6)
    os.utime(path, (FILE_TIME, FILE_TIME))
    report, reading = read_all(history, state)
    assert [one.path_base64 for one in reading.state.damaged] == [b"name 6"]
    for _ in range(4):
        history.night([], [b"name 6"] if b"name 6" in history.born else [], 3)
    report, reading = read_all(history, reading.state)
    assert (report.findings, reading.state.damaged) == ([], ()), "no snapshot holds it any more"


def test_what_nobody_has_looked_at_is_not_forgotten() -> None:
    one, other = (make_id(NOON - number * DAY) for number in range(2))

    def known(state: Round) -> set[tuple[str, tuple[str, ...]]]:
        return {(damaged.kind, damaged.snapshots) for damaged in state.damaged}

    def learned(state: Round, report: Report, *, full: bool = False) -> Round:
        return Round.model_validate_json(state.learned(report, NOON, {one, other}, full=full).model_dump_json())

    found = Report("web", snapshots=[one, other])
    for snapshot in (one, other):
        found.add(snapshot, "mode", b"name", "has mode 777, had 644", 1)
        found.add(snapshot, "checksums", None, "the checksums of the files are missing", 1)
    found.add(one, "missing", b"gone", "is missing", 1)
    state = learned(Round(), found)
    assert known(state) == {("mode", (one, other)), ("checksums", (one, other)), ("missing", (one,))}
    assert state.damaged_files == 3

    hidden = Report("web", snapshots=[one])
    hidden.add(one, "manifest", None, "the manifest is damaged")
    assert known(learned(state, hidden)) == known(state) | {("manifest", (one,))}, "nothing of that snapshot was seen"
    denied = Report("web", snapshots=[one, other], denied=1)
    assert known(learned(state, denied)) == known(state)
    quick = learned(state, Report("web", snapshots=[one]))
    assert known(quick) == {("mode", (other,)), ("checksums", (one, other))}, "checksums were not looked at"
    assert known(learned(state, Report("web", snapshots=[one, other]), full=True)) == set()


def test_what_is_the_same_is_drawn_together_however_much_it_is(tmp_path: Path) -> None:
    history, spool = History(tmp_path), Spool[bytes, bytes]()
    for number in range(70):
        spool.append((b"%032x" % (min(number // 20, 1) << 64), b"name %d" % number))
    history.sequence = 1
    history.checksums(1).write_bytes(packed.pack(spool))
    drawn = draw(history, 0, WHOLE, 4)  # type: ignore[arg-type]
    assert (drawn.width, len(drawn.wanted[1])) == (1, 20)
    drawn = draw(history, 1, WHOLE - 1, 4)  # type: ignore[arg-type]
    assert (drawn.width, len(drawn.wanted[1])) == (WHOLE - 1, 50)
    assert list(names(history, drawn, Report("web"))) == []  # type: ignore[arg-type]
