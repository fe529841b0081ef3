"""The configuration: what must load, what must not and what is said about it, the generated sample and schema."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from snapmirror import process
from snapmirror.config import Config, HostConfig, MirrorConfig, ZfsConfig, load, parse
from snapmirror.config.retention import CycleConfig, HanoiConfig
from snapmirror.config.sample import json_schema, reference, sample
from snapmirror.config.source import parse_jump_host, parse_source
from snapmirror.config.values import format_fraction, format_size, parse_fraction, parse_size
from snapmirror.errors import ConfigError, ExitCode, UsageError
from snapmirror.sources import settings
from snapmirror.tools import rsync, ssh

SAMPLES = Path(__file__).parent / "samples"
SMALLEST = {"store": {"path": "/srv/snapmirror"}, "mirror": [{"name": "etc", "source": "/etc"}]}


@pytest.mark.parametrize("path", sorted((SAMPLES / "valid").iterdir()), ids=lambda p: p.stem)
def test_valid_sample_loads(path: Path) -> None:
    assert isinstance(load(path), Config)


@pytest.mark.parametrize("path", sorted((SAMPLES / "invalid").iterdir()), ids=lambda p: p.stem)
def test_invalid_sample_says_all_that_is_wrong(path: Path) -> None:
    """The first line of a sample names a part of every message, separated by |."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = caught.value.message
    for part in path.read_text().splitlines()[0].removeprefix("# ").split(" | "):
        assert part.strip() in message, message
    assert str(path) in message
    assert caught.value.exit_code == ExitCode.USAGE
    for problem in caught.value.problems:
        assert re.match(r"[\w.\[\]-]+: ", problem), problem
        assert "pydantic" not in problem


def test_values_arrive_as_bytes_paths_and_fractions() -> None:
    config = load(SAMPLES / "valid" / "everything.toml")
    assert config.image is not None
    assert config.image.size == 150 << 30
    assert config.image.header_backup == Path("~/image.luks-header").expanduser()
    web1, web2 = config.mirrors
    assert (web1.max_size, web1.min_size, web1.bandwidth_limit) == (3 << 29, 1024, 10 << 20)
    assert web1.clone_above is None
    assert web2.clone_above == 64 << 20
    assert (web1.guard.max_deleted, web1.guard.max_changed) == (0.125, 1.0)
    assert web2.retention.keep_last == 16
    assert web1.source.host == "2001:db8::1"
    assert web1.source.rsync_argument == "root@[2001:db8::1]:/srv/a path with blanks/"
    assert (web2.source.module, web2.source.path, web2.source.port) == ("data", "/sub", 8873)


def test_select_knows_its_mirrors() -> None:
    config = load(SAMPLES / "valid" / "everything.toml")
    assert [mirror.name for mirror in config.select()] == ["web1", "Web-2.data"]
    assert [mirror.name for mirror in config.select(["Web-2.data"])] == ["Web-2.data"]
    with pytest.raises(UsageError) as caught:
        config.select(["wbe1"])
    assert caught.value.hint == "did you mean web1?"


def test_missing_and_unreadable_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        load(tmp_path / "none.toml")
    assert "config sample" in caught.value.hint
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "latin1.toml").write_bytes(b'# a\npath = "\xe4"\n')
    with pytest.raises(ConfigError, match="line 2"):
        load(tmp_path / "latin1.toml")


def test_sample_loads_and_shows_every_option() -> None:
    text = sample()
    live = parse(tomllib.loads(text))
    assert live.mirrors[0].name == "web1"
    for key in re.findall(r"^#?(\w+) = ", text, re.MULTILINE):
        assert text.count(f"{key} = ") >= 1
    schema = json.loads(json_schema())
    for section in schema["$defs"].values():
        for key in section.get("properties", {}):
            assert f"{key} = " in text or f"[mirror.{key}]" in text or f"[mirror.retention.{key}]" in text, key


def test_sample_is_right_when_every_line_is_taken() -> None:
    """Every commented line of the sample is a valid line, too; those of other kinds of sources and stores excepted."""
    other_kind = ("key_command", "password_file")
    before, zfs, host, after = re.split(r"(?m)^(?=\[zfs\]|#\[host\]|\[report\])", sample())
    lines = [
        line.removeprefix("#")
        if re.match(r"#(\w+ = |\[(share|copy|export|defaults|mirror\.retention\.\w+)\])", line)
        and not line[1:].startswith(other_kind)
        else line.replace("/var/backups/snapmirror.img", "snapmirror.img")  # it lies on the share then
        for line in (before + after).splitlines()
    ]
    given = tomllib.loads(re.sub(r"(?m)^#(?=\w+ = )", "", zfs))["zfs"]
    assert set(given) == set(ZfsConfig.model_fields)
    assert ZfsConfig.model_validate(given).layout == "mirror"
    given = tomllib.loads(re.sub(r"(?m)^#(?=\w+ = |\[)", "", host))["host"]
    assert set(given) == set(HostConfig.model_fields)
    assert HostConfig.model_validate(given).keep_awake
    config = parse(tomllib.loads("\n".join(lines)))
    assert config.mirrors[0].guard == parse(SMALLEST).mirrors[0].guard
    retention = config.mirrors[0].retention
    assert (retention.hanoi, retention.cycle, str(retention.keep_within)) == (
        HanoiConfig(discs=5), CycleConfig(fulls=2, diffs=6), "48h",
    )  # fmt: skip
    usual = retention.model_copy(update={"hanoi": None, "cycle": None, "keep_within": None})
    assert usual == parse(SMALLEST).mirrors[0].retention


def test_reference_and_schema_describe_every_option() -> None:
    text = reference()
    for section in json.loads(json_schema())["$defs"].values():
        for key, value in section["properties"].items():
            assert value.get("description") or "$ref" in value, key
            assert f"`{key}`" in text or f"[mirror.{key}]" in text or f"[mirror.retention.{key}]" in text


def test_the_reference_names_every_value() -> None:
    """A reader of the page has no other way to know them."""
    rows = re.findall(r"^\| `\w+` \|.*$", reference(), re.MULTILINE)
    for section in json.loads(json_schema())["$defs"].values():
        for key, option in section["properties"].items():
            values: list[str] = next((one["enum"] for one in (option, *option.get("anyOf", ())) if "enum" in one), [])
            row = " ".join(row for row in rows if row.startswith(f"| `{key}` |"))
            assert [value for value in values if not re.search(rf"\b{value}\b", row)] == [], key


def test_broken_values_cannot_write_on_the_terminal() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"store": {"path": "\x1b[2J", "ev\x1bil": 1}, "mirror": [{"name": "\x1b", "source": "\x1b"}]})
    assert "\x1b" not in caught.value.message


@given(st.integers(min_value=0, max_value=1 << 60))
def test_size_written_and_read_again(number: int) -> None:
    assert parse_size(format_size(number)) == number


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64M", 64 << 20), ("1.5 GiB", 3 << 29), ("10GB", 10**10), ("7", 7), ("512b", 512), ("2t", 2 << 40), (5, 5)],
)
def test_size_forms(text: object, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "M", "-1", -1, "1.2.3", "10 elephants", True, None, 1.5])
def test_not_a_size(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=100))
def test_fraction_written_and_read_again(percent: int) -> None:
    assert parse_fraction(format_fraction(percent / 100)) == pytest.approx(percent / 100)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["store", "image", "mirror", "path", "name", "source", "guard", "retention", "size", "x"]), x
), max_leaves=20))  # fmt: skip
def test_whatever_stands_in_the_file_is_a_configuration_or_a_configuration_error(data: object) -> None:
    tables = data if isinstance(data, dict) else {"mirror": data}
    try:
        parse(tables)
    except ConfigError as error:
        assert error.problems
        assert all(problem.isprintable() for problem in error.problems)


def test_samples_are_plain_files() -> None:
    for path in SAMPLES.rglob("*.toml"):
        assert stat.S_ISREG(path.lstat().st_mode)


def test_the_image_lies_on_the_share() -> None:
    config = load(SAMPLES / "valid" / "share.toml")
    assert config.share is not None
    assert config.image is not None
    assert (config.share.unc, config.share.port, config.share.lost_after_seconds) == (
        "//winhost/backup/snapmirror",
        445,
        300,
    )
    assert config.share.mount_point == Path("/run/snapmirror/share")
    assert config.image.file == Path("/run/snapmirror/share/web/snapmirror.img")


def test_a_mark_of_windows_editors_before_the_text(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    text = '[store]\npath = "/srv/s"\n[[mirror]]\nname = "a"\nsource = "/etc"\n'
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(file).mirrors[0].name == "a"
    file.write_bytes(text.encode("utf-16"))
    with pytest.raises(ConfigError, match="is not UTF-8 text") as caught:
        load(file)
    assert "save it as UTF-8" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "right"),
    [
        ("root@2001:db8::1:/srv", "root@[2001:db8::1]:/srv"),
        ("fe80::1:/srv", "[fe80::1]:/srv"),
        ("1:2:3:4:5:6:7:8:/srv", "[1:2:3:4:5:6:7:8]:/srv"),
        ("rsync://2001:db8::1/m/srv", "rsync://[2001:db8::1]/m/srv"),
        ("ssh://root@::1/srv", "ssh://root@[::1]/srv"),
    ],
)
def test_an_ipv6_address_without_brackets(source: str, right: str) -> None:
    with pytest.raises(ValueError, match="an IPv6 address needs brackets") as caught:
        parse_source(source)
    assert f'write "{right}"' in str(caught.value)
    assert parse_source(right).host.count(":") >= 2


@pytest.mark.parametrize(
    ("key", "largest", "too_large"),
    [
        ("timeout_seconds", 2**31 - 1, 2**31),
        ("bandwidth_limit", "8191P", "8192P"),
        ("max_size", "8191P", 2**63 - 1),
        ("min_size", "8191P", "8192P"),
    ],
)
def test_numbers_that_rsync_takes(key: str, largest: object, too_large: object, tmp_path: Path) -> None:
    def parsed(value: object) -> MirrorConfig:
        entry = {"name": "a", "source": str(tmp_path), key: value}
        return parse({"store": {"path": "/srv/s"}, "mirror": [entry]}).mirrors[0]

    mirror = parsed(largest)
    limit = [f"--bwlimit={mirror.bandwidth_limit // 1024}"] if mirror.bandwidth_limit else []
    argv = [*rsync.listing_argv(settings.location(mirror), settings.options(mirror), whole=False), *limit]
    assert process.run(argv, ok=range(256)).exit_code == 0
    with pytest.raises(ConfigError, match=rf"mirror.a.{key}: .*at most"):
        parsed(too_large)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("[::1]/etc", "is not a source"), ("[::1", "is not a source"), ("root@[::1]/etc", "is not a source"),
        ("[::1]::mod", '"rsync://[::1]/mod"'), ("me@host::mod/x", '"rsync://me@host/mod/x"'),
    ],
)  # fmt: skip
def test_brackets_that_are_not_closed_or_not_followed_by_a_path(source: str, said: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        parse_source(source)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("::1", '"[::1]"'), ("root@fe80::1", '"root@[fe80::1]"'), ("gate:99999", "99999 is not a port"),
        ("gate:0", "0 is not a port"), ("[::1", "is not a host"), ("one,two", "this is one host"),
    ],
)  # fmt: skip
def test_a_jump_host_that_ssh_would_misread(host: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\[|\d|host") as caught:
        parse_jump_host(host)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("gate", ("gate", None)), ("me@gate:22", ("me@gate", 22)), ("me@[::1]:22", ("me@::1", 22)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", None)), ("ssh://me@gate:22", ("ssh://me@gate", 22)),
    ],
)  # fmt: skip
def test_a_jump_host_as_ssh_takes_it(host: str, words: tuple[str, int | None]) -> None:
    assert ssh.jump(parse_jump_host(host)) == words


def test_days_are_no_more_than_the_calendar_has() -> None:
    """`keep_at_least_days = 99999999999` ended with a traceback."""

    def unbounded(model: type[BaseModel], path: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            for kind in (field.annotation, *get_args(field.annotation)):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    yield from unbounded(kind, f"{path}{name}.")
            text = f"{field.metadata} {field.annotation}"
            if name.endswith("_days") and "le=100000" not in text:
                yield path + name

    assert list(unbounded(Config, "")) == []
