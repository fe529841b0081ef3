"""Lines of rsync's, and the files that are made of them: manifests, checksums, spools; folders with a marker."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.errors import DamageError, StorageError, TransferError
from snapmirror.snapshots import checksums, entry, packed
from snapmirror.snapshots.lines import (
    Line,
    all_numbered,
    files_of,
    holding,
    holds_directory,
    holds_file,
    holds_link,
    holds_symlink,
    is_directory,
    is_entry,
    is_file,
    is_link,
    is_single_file,
    is_symlink,
    items_of,
    kind_of,
    links_of,
    name_of,
    number_of,
    prefix_of,
    since_prefix,
    symlinks_of,
    time_of,
    unnumbered,
    usual_items,
    with_number,
    without_links,
)
from snapmirror.snapshots.manifest import DamagedManifest, Header, Reader, Writer
from snapmirror.snapshots.spool import Spool
from snapmirror.sources.exclude_marker import pruned
from snapmirror.tools import rsync_output

TAIL = b"|rw-r--r--|0|0|5|2026/11/20-03:00:00|"


def line(name: bytes, *, pointer: bytes = b"", kind: bytes = b"f") -> Line:
    return entry.plain_line(kind + TAIL[:-1], name, pointer)


def further(leader: bytes, name: bytes, *, kind: bytes = b"f") -> Line:
    return entry.linked_line(kind + TAIL[:-1], name, leader)


def test_a_numbered_line_is_asked_what_its_line_is_asked() -> None:
    kinds = {
        kind: line(b"a/b", kind=kind, pointer=b" -> c" if kind == b"L" else b"") for kind in (b"f", b"d", b"L", b"S")
    }
    for one in [*kinds.values(), further(b"a", b"b")]:
        numbered = with_number(since_prefix(12), one)
        assert numbered == b"0000012 " + one
        assert (unnumbered(numbered), prefix_of(numbered), number_of(numbered)) == (one, b"0000012 ", 12)
        assert is_entry(one) and name_of(numbered) == name_of(one)
        assert [holds_file(numbered), holds_directory(numbered), holds_symlink(numbered), holds_link(numbered)] == [
            is_file(one), is_directory(one), is_symlink(one), is_link(one)
        ]  # fmt: skip
        assert list(holding([numbered], b"//")) == [numbered] and not list(holding([numbered], b"//x"))
    every = [*kinds.values(), further(b"a", b"b")]
    assert [kind_of(one) for one in every] == [*kinds, b"f"]
    assert files_of(every) == [kinds[b"f"], every[-1]] and symlinks_of(every) == [kinds[b"L"]]
    assert without_links(every) == every[:-1] and links_of(every) == every[-1:]
    assert items_of(every[:-1]) <= usual_items(frozenset()) and not items_of(every) <= usual_items(frozenset())
    assert not items_of([kinds[b"S"]]) <= usual_items(frozenset({b"S"}))
    assert is_single_file(kinds[b"f"]) and not is_single_file(every[-1])
    assert not is_entry(Line(b"created directory /x")) and not is_entry(Line(b"*deleting  |//x"))
    assert list(all_numbered([1, 2], every[:2])) == [b"0000001 " + every[0], b"0000002 " + every[1]]
    assert time_of(every[0]) == b"2026/11/20-03:00:00"


def test_an_entry_is_taken_apart() -> None:
    one = entry.parse(Line(b"cd+++++++++|rwxr-s--T|12|34|4096|1969/12/31-23:59:59|//a\\#012b/c/"))
    assert (one.path, one.kind, one.uid, one.gid, one.mtime) == (b"a\nb/c", b"d", 12, 34, -1)
    assert one.mode == 0o2750 | 0o1000
    link = entry.parse(Line(b"cL+++++++++|rwxrwxrwx|0|0|9|2026/11/20-03:00:00| -> a -> b// -> c//x -> y"))
    assert (link.path, link.target) == (b"x -> y", b"a -> b// -> c")
    hard = entry.parse(Line(b"hf+++++++++" + TAIL + b" => b => c//a => b"))
    assert (hard.path, hard.leader) == (b"a => b", b"b => c")


@pytest.mark.parametrize(
    ("raw", "expected", "checksum"),
    [
        (b"0" * 32 + b"|>f.st......" + TAIL + b"//a", line(b"a"), b"0" * 32),
        (b" " * 32 + b"|cf...p....." + TAIL + b"//a", line(b"a"), b""),
        (b" " * 32 + b"|hf........." + TAIL + b"//a", line(b"a"), b""),
        (b" " * 32 + b"|hf+++++++++" + TAIL + b" => b//a", b"hf+++++++++" + TAIL + b" => b//a", b""),
        (b" " * 32 + b"|.d..t......" + TAIL + b"//a/", line(b"a", kind=b"d"), b""),
    ],
)
def test_what_was_sent_reads_as_a_listing(raw: bytes, expected: bytes, checksum: bytes) -> None:
    sent = rsync_output.parse_sent(b"word|" + raw, "word")
    assert sent == rsync_output.Sent(expected, checksum, is_further=b"|hf" in raw)
    assert rsync_output.parse_sent(raw, "word") is None and rsync_output.parse_sent(b"other|" + raw, "word") is None


@pytest.mark.parametrize(
    ("item", "is_same", "is_further"),
    [
        (b".f         ", True, False),
        (b"hf         ", True, True),
        (b".f...p.....", False, False),
        (b".fc........", False, False),
        (b".f........x", False, False),
        (b"hf..t......", False, True),
        (b".d         ", False, False),
        (b">f+++++++++", False, False),
    ],
)
def test_what_differs_in_nothing_is_told(item: bytes, is_same: bool, is_further: bool) -> None:
    sent = rsync_output.parse_sent(b"word|" + b"0" * 32 + b"|" + item + TAIL + b"//a", "word")
    assert sent is not None
    assert (sent.is_same, sent.is_further) == (is_same, is_further)


def test_messages_are_no_entries() -> None:
    assert rsync_output.parse_sent(b"Literal data: 5 bytes", "word") is None
    assert rsync_output.literal_bytes(b"Literal data: 5 bytes") == 5
    assert not rsync_output.is_entry(b"*deleting  " + TAIL + b"//x")


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 20, 21, 22, 23, 25, 30, 35, 99, 124, 127, 255, -9])
def test_every_exit_code_is_a_sentence_with_a_hint(code: int) -> None:
    error = rsync_output.failure(code, b"rsync: something broke\nrsync error: verdict (code 12)\n", "it stopped")
    assert isinstance(error, TransferError)
    assert error.message.startswith("it stopped: ") and "verdict" not in error.message and error.hint


def test_a_full_disk_is_the_stores_fault_whatever_the_code() -> None:
    for code in (11, 12, 23):
        error = rsync_output.failure(code, b'rsync: write failed on "/x": No space left on device (28)\n', "it stopped")
        assert isinstance(error, StorageError)


def test_the_telling_line_of_ssh_is_shown() -> None:
    frame = (
        b"@@@@@@@@@@\n@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @\n@@@@@\nHost key verification failed.\n"
    )
    closing = b"rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]\nrsync error: x (code 255)\n"
    assert "Host key verification failed" in rsync_output.failure(255, frame + closing, "listing").message


@pytest.mark.parametrize(
    ("said", "by_ssh"),
    [
        (b"No ED25519 host key is known for server.\r\nHost key verification failed.\r\n", True),
        (b"root@server: Permission denied (publickey,password).\r\n", True),
        (b"ssh: connect to host server port 22: Connection refused\r\n", True),
        (b'rsync: [sender] opendir "/x" failed: Permission denied (13)\n', False),
        (b"Connection to server closed by remote host.\r\n", False),  # it had connected
    ],
)
def test_ssh_is_believed_whichever_end_rsync_notices_first(said: bytes, by_ssh: bool) -> None:
    """On a busy machine rsync reads the end of the data before ssh has ended, and calls that 12 instead of 255."""
    closing = b"rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]\nrsync error: x (code 12)\n"
    message = rsync_output.failure(12, said + closing, "listing").message
    assert ("ssh could not connect" in message) == by_ssh
    assert said.splitlines()[-1].decode() in message


def manifest(count: int) -> bytes:
    writer = Writer(Header("2026-11-20T030000Z", 7))
    for number in range(count):
        writer.add(with_number(since_prefix(number % 3 + 1), line(b"%05d" % number)))
    return writer.finish()


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 10_000])
def test_a_manifest_is_read_as_it_was_written(count: int) -> None:
    reader = Reader(manifest(count))
    lines = list(reader)
    assert len(lines) == count == reader.totals.entries
    assert all(one == b"%07d " % (place % 3 + 1) + line(b"%05d" % place) for place, one in enumerate(lines))


@given(st.data())
def test_a_damaged_manifest_is_an_error_never_another_tree(data: st.DataObject) -> None:
    whole = manifest(300)
    kind = data.draw(st.sampled_from(["cut", "flip", "twice"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    if kind == "cut":
        broken = whole[:place]
    elif kind == "flip":
        broken = whole[:place] + bytes([whole[place] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[place + 1 :]
    else:
        broken = whole + whole
    try:
        lines = list(Reader(broken))
    except DamagedManifest:
        return
    assert lines == list(Reader(whole))  # a bit that zstd does not use


@pytest.mark.parametrize("text", [b"", b"hello", b'{"format": "other"}\n'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "m").write_bytes(text)
    with pytest.raises(DamagedManifest):
        Reader(tmp_path / "m")
    with pytest.raises(DamagedManifest, match="missing"):
        Reader(tmp_path / "absent")


def test_checksums_are_read_as_they_were_written(tmp_path: Path) -> None:
    names = [b"a\nb", b"\xff", b"\\#012", *(b"%d" % number for number in range(10_000))]
    (tmp_path / "sums").write_bytes(packed.pack(Spool((b"0" * 32, entry.escape(name)) for name in names)))
    assert list(checksums.read(tmp_path / "sums")) == [(name, b"0" * 32) for name in names]
    assert list(checksums.read(tmp_path / "absent")) == []
    (tmp_path / "sums").write_bytes((tmp_path / "sums").read_bytes()[:-30])
    with pytest.raises(DamageError):
        list(checksums.read(tmp_path / "sums"))


@given(
    st.lists(st.tuples(st.none() | st.just(b"old"), st.none() | st.just(b"new"))), st.sampled_from([1, 8192, 20_000])
)
def test_a_spool_gives_back_what_it_got(pairs: list[tuple[bytes | None, bytes | None]], times: int) -> None:
    if len(pairs) * times > 200_000:
        times = 1
    spool = Spool[bytes, bytes]()
    for _ in range(times):
        spool.extend(pairs)
    assert list(spool) == pairs * times
    assert len(spool) == len(pairs) * times


def test_a_further_name_of_a_symlink_stays_one_when_a_marker_leaves_the_first_out() -> None:
    first = line(b"a/link", kind=b"L", pointer=b" -> there")
    plain = [line(b".", kind=b"d"), line(b"a", kind=b"d"), line(b"a/.nobackup"), first]
    linked = [further(b"a/link", b"c", kind=b"L"), further(b"a/link", b"d", kind=b"L")]
    for before in (plain, [*plain[:2], first, plain[2]]):
        *_, one, other = list(pruned([*before, *linked], b".nobackup"))
        assert one == line(b"c", kind=b"L", pointer=b" -> there")
        assert other == linked[1].replace(b"a/link", b"c")


def test_a_marker_leaves_out_names_of_one_file_that_come_before_it() -> None:
    linked = [Line(b"hf+++++++++" + TAIL + b" => a/2//" + name) for name in (b"a/1", b"top")]  # as rsync lists them
    tail = [line(b"a/CACHEDIR.TAG"), line(b"b", kind=b"d"), line(b"b/stays")]
    head = [line(b".", kind=b"d"), line(b"a", kind=b"d")]
    assert list(pruned([*head, line(b"a/2"), *linked, *tail], b"CACHEDIR.TAG")) == [*head, line(b"top"), *tail[1:]]


def test_a_folder_with_a_marker_is_left_out_with_all_below() -> None:
    plain = [
        line(b".", kind=b"d"), line(b"top"),
        line(b"a", kind=b"d"), line(b"a/.nobackup"), line(b"a/gone"), line(b"a/b", kind=b"d"), line(b"a/b/gone"),
        line(b"c", kind=b"d"), line(b"c/stays"), line(b"c/x.nobackup"),
    ]  # fmt: skip
    linked = [further(b"a/gone", b"c/one"), further(b"a/gone", b"c/two")]
    inside = further(b"c/stays", b"a/b/too")
    shown = list(pruned([*plain, *linked, inside], b".nobackup"))
    # (the order is put right by the plan, see merge.OutOfOrder)
    assert sorted(shown) == sorted([
        line(b".", kind=b"d"), line(b"top"), line(b"a", kind=b"d"), line(b"c", kind=b"d"), line(b"c/stays"),
        line(b"c/x.nobackup"), line(b"c/one"), further(b"c/one", b"c/two"),
    ])  # fmt: skip


def test_a_long_spool_takes_no_more_memory_than_its_packed_text() -> None:
    """The room of the worst case, which zstd asks for, is given back."""
    names = random.Random(1)
    pairs = [(b"%064x" % names.getrandbits(256), line(b"%d" % number)) for number in range(1 << 16)]
    tracemalloc.start()
    spool = Spool(pairs)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 1.5 * sum(map(len, spool._packed))
    assert list(spool) == pairs
