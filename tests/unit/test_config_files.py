"""[defaults] for all mirrors, included files, and tables that stand where they mean less than was thought."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from snapmirror.cli.app import app
from snapmirror.config import Config, load, look, parse
from snapmirror.config.sample import json_schema
from snapmirror.doctor import examine
from snapmirror.errors import ConfigError

STORE = '[store]\npath = "/srv/store"\nstate_dir = "/var/lib/snapmirror"\n'
TWO = '[[mirror]]\nname = "a"\nsource = "root@a:/"\n[[mirror]]\nname = "b"\nsource = "root@b:/"\n'


@pytest.fixture
def main(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir(mode=0o755)
    return tmp_path / "snapmirror.toml"


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems


def loaded(main: Path, text: str) -> Config:
    main.write_text(text)
    return load(main)


def test_defaults_hold_for_every_mirror_that_does_not_say_otherwise(main: Path) -> None:
    a, b = loaded(
        main,
        f'{STORE}[defaults]\nidentity = "/etc/key"\nexclude = ["/proc/*", "/sys/*"]\nacls = false\n'
        f"[defaults.retention]\nkeep_last = 3\nkeep_at_least_days = 0\n[defaults.guard]\nat_least = 7\n"
        f"[defaults.verify]\nlongest_minutes = 9\n"
        f'{TWO}exclude = ["/tmp/*"]\nacls = true\n[mirror.retention]\nkeep_last = 5\n',
    ).mirrors
    assert a.identity == b.identity == Path("/etc/key")
    assert (a.exclude, b.exclude) == (("/proc/*", "/sys/*"), ("/tmp/*",))  # a list replaces
    assert (a.acls, b.acls) == (False, True)
    assert [(m.retention.keep_last, m.retention.keep_at_least_days) for m in (a, b)] == [(3, 0), (5, 0)]
    assert a.guard.at_least == b.guard.at_least == 7
    assert a.verify.longest_minutes == b.verify.longest_minutes == 9


def test_defaults_of_another_kind_of_source_are_passed_over(main: Path) -> None:
    ssh, local, daemon, other = loaded(
        main,
        f'{STORE}[defaults]\nidentity = "/etc/key"\nport = 2222\npassword_file = "/etc/secret"\n'
        '[[mirror]]\nname = "a"\nsource = "root@a:/"\n[[mirror]]\nname = "b"\nsource = "/etc"\n'
        '[[mirror]]\nname = "c"\nsource = "rsync://c/data"\n[[mirror]]\nname = "d"\nsource = "ssh://d:22/"\n',
    ).mirrors
    assert (ssh.identity, ssh.port, ssh.password_file) == (Path("/etc/key"), 2222, None)
    assert (local.identity, local.port, local.password_file) == (None, None, None)
    assert (daemon.identity, daemon.port, daemon.password_file) == (None, None, Path("/etc/secret"))
    assert (other.identity, other.port, other.source.port) == (Path("/etc/key"), None, 22)


def test_a_mistake_in_defaults_is_told_once_and_at_its_place(main: Path) -> None:
    main.write_text(
        f'{STORE}[defaults]\nport = "x"\nidentty = "/k"\nname = "all"\nexclude = ["", 1]\nmin_size = "2M"\n'
        f'max_size = "1M"\n[defaults.retention]\nkeep_last = 0\n{TWO}'
    )
    told = problems(main)
    assert sorted(line.split(": ")[0] for line in told) == [
        "defaults.exclude[1]", "defaults.exclude[2]", "defaults.identty", "defaults.min_size", "defaults.name",
        "defaults.port", "defaults.retention.keep_last",
    ]  # fmt: skip
    assert any("did you mean identity?" in line for line in told)
    main.write_text(f'{STORE}[defaults]\nmin_size = "2M"\n{TWO}max_size = "1M"\nport = 0\n')
    assert [line.split(": ")[0] for line in problems(main)] == ["mirror.b.port", "mirror.b.max_size"]
    main.write_text(f"{STORE}{TWO}[[defaults]]\nport = 1\n")
    assert problems(main) == ("defaults: [{'port': 1}] is not a section",)


def test_included_files_are_read_in_sorted_order_and_get_the_defaults(main: Path) -> None:
    folder = main.parent / "conf.d"
    for name in ("20-b", "10-a", "30-none"):
        text = f'[[mirror]]\nname = "m{name[:2]}"\nsource = "root@{name}:/"\n' if "none" not in name else ""
        (folder / f"{name}.toml").write_text(f"\ufeff{text}")
    (folder / "00-old.toml.bak").write_text("this is not read")
    main.write_text(f'include = ["conf.d/[23]*.toml", "conf.d/*.toml", "*.toml"]\n{STORE}[defaults]\nport = 7\n{TWO}')
    found = look(main)
    assert [(m.name, m.port) for m in found.config.mirrors] == [("a", 7), ("b", 7), ("m20", 7), ("m10", 7)]
    assert [file.name for file in found.files] == ["snapmirror.toml", "20-b.toml", "30-none.toml", "10-a.toml"]
    assert found.remarks == ()


def test_the_mirrors_may_all_be_in_included_files(main: Path) -> None:
    main.write_text(f'include = ["conf.d/*.toml"]\n{STORE}')
    told = problems(main)
    assert told[0].startswith("mirror: is missing") and "matches no file" in told[1]
    (main.parent / "conf.d/a.toml").write_text(TWO)
    assert [mirror.name for mirror in load(main).mirrors] == ["a", "b"]
    assert json.loads(json_schema())["anyOf"] == [{"required": ["mirror"]}, {"required": ["include"]}]


def test_all_problems_of_all_files_are_told_at_once_with_the_file(main: Path) -> None:
    folder = main.parent / "conf.d"
    (folder / "a.toml").write_text('[[mirror]]\nname = "a"\nsource = "root@a:/"\nport = 0\n')
    (folder / "b.toml").write_text("[[mirror]\n")
    (folder / "c.toml").write_text(f'{STORE}[[mirror]]\nsource = "root@c:/"\n')
    (folder / "d.toml").write_text('[mirror]\nname = "d"\n')
    (folder / "e.toml").write_bytes(b'x = "\xff"\n')
    (folder / "f.toml").mkdir()
    os.mkfifo(folder / "g.toml")
    (folder / "h.toml").symlink_to("nowhere")
    main.write_text(
        f'include = ["conf.d/*.toml", "conf.d/z.toml", "/etc/*.toml", "../x", 3]\n{STORE}max_size = 1\n{TWO}'
    )
    told = problems(main)
    for number, line in enumerate(
        (
            f"include: {folder}/b.toml is not valid TOML: ",
            f"include: {folder}/c.toml holds store; an included file holds [[mirror]] sections only",
            f"include: in {folder}/d.toml, mirror is a list of sections",
            f"include: {folder}/e.toml is not UTF-8 text (line 1)",
            f"include: {folder}/f.toml is not a file",
            f"include: {folder}/g.toml is not a file",
            f"include: {folder}/h.toml does not exist",
            f"include: {folder}/z.toml does not exist",
            'include[3]: "/etc/*.toml" leads out of the folder of the configuration',
            'include[4]: "../x" leads out of the folder of the configuration',
            "include[5]: 3 is not a text",
            "store.max_size: unknown key here; it belongs in [[mirror]]",
        )
    ):
        assert told[number].startswith(line), told
    rest = told[12:]
    assert f'mirror[1].name: is missing; for example name = "web1" (in {folder}/c.toml)' in rest
    assert any(
        line.startswith("mirror[1].port: 0 is too small") and line.endswith(f"(in {folder}/a.toml)") for line in rest
    )
    assert any('already called "a"' in line and line.endswith(f"(in {folder}/a.toml)") for line in rest)


def test_include_at_another_place_is_noticed(main: Path) -> None:
    (main.parent / "conf.d/a.toml").write_text(TWO)
    main.write_text(f'{STORE}include = ["conf.d/*.toml"]\n{TWO}')
    assert problems(main)[0].startswith("store.include: unknown key here; write it before the first section")
    main.write_text(f'{STORE}{TWO}include = ["conf.d/*.toml"]\n')  # what a mirror includes are patterns of rsync
    (remark,) = look(main).remarks
    assert "patterns of rsync" in remark.message and "before the first section" in remark.mend


MISPLACED = f"{STORE}{TWO}[mirror.retention]\nkeep_last = 3\n"


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        (MISPLACED, ["retention"]),
        (f"{MISPLACED}[mirror . guard] # for all\nat_least = 3\n", ["guard", "retention"]),
        (f"{STORE}{TWO}retention = {{ keep_last = 3 }}\n", []),  # this is plain
        (f"{STORE}{TWO}retention.keep_last = 3\n", []),
        (f"{MISPLACED}[defaults.retention]\nkeep_last = 4\n", []),  # somebody who knows both
        (f'{MISPLACED}[[mirror]]\nname = "c"\nsource = "/c"\n', []),  # not at the end, so not thought for all
    ],
)
def test_a_table_that_only_the_last_mirror_gets_is_noticed(main: Path, text: str, tables: list[str]) -> None:
    main.write_text(text)
    assert [remark.message.split("]")[0] for remark in look(main).remarks] == [f"[mirror.{name}" for name in tables]
    done = CliRunner().invoke(app, ["--config", str(main), "config", "check"])
    assert done.exit_code == (3 if tables else 0), done.output
    for name in tables:
        assert f"warning: [mirror.{name}] in {main} belongs to the mirror b alone, the last of 2" in done.stderr
        assert f"write [defaults.{name}] in the main file" in done.stderr
    told = [check for check in examine(main) if check.topic == "configuration"]
    assert [check.level for check in told] == (["warn"] * len(tables) or ["ok"])


def test_a_pattern_without_files_is_a_warning(main: Path) -> None:
    main.write_text(f'include = ["conf.d/*.toml"]\n{STORE}{TWO}')
    done = CliRunner().invoke(app, ["--config", str(main), "config", "check"])
    assert done.exit_code == 3
    assert f'warning: include: "conf.d/*.toml" matches no file in {main.parent}' in done.stderr
    assert "is fine" not in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root looks into every folder")
def test_a_closed_folder_is_no_empty_one(main: Path) -> None:
    main.write_text(f'include = ["conf.d/*.toml"]\n{STORE}{TWO}')
    (main.parent / "conf.d").chmod(0)
    try:
        assert problems(main) == (f"include: {main.parent}/conf.d cannot be read by this user",)
    finally:
        (main.parent / "conf.d").chmod(stat.S_IRWXU)


def test_included_files_that_others_can_change_are_told(main: Path) -> None:
    main.write_text(f'include = ["conf.d/*.toml"]\n{STORE}')
    main.chmod(0o644)
    file = main.parent / "conf.d/a.toml"
    file.write_text(TWO)
    file.chmod(0o666)
    file.parent.chmod(0o777)
    told = [check for check in examine(main) if check.topic == "configuration"]
    assert [(check.level, check.mend) for check in told] == [
        ("warn", f"chmod go-w {file}"), ("warn", f"chmod go-w {file.parent}"),
    ]  # fmt: skip


VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["keep_last", "at_least", "x"]), st.integers(), max_size=2),
)  # fmt: skip
KEYS = st.sampled_from(["name", "source", "port", "identity", "exclude", "guard", "retention", "max_size", "y"])
TABLES = st.dictionaries(KEYS, VALUES, max_size=5)


@given(st.one_of(VALUES, TABLES), st.lists(st.one_of(VALUES, TABLES), max_size=3))
def test_any_defaults_and_mirrors_are_a_configuration_or_a_sentence(defaults: object, mirrors: list[object]) -> None:
    try:
        parse({"store": {"path": "/srv/store"}, "defaults": defaults, "mirror": mirrors})
    except ConfigError as error:
        assert error.problems


@given(st.sampled_from(["port", "acls", "exclude", "max_size"]), st.booleans(), st.booleans())
def test_a_mirrors_own_value_wins(key: str, given_here: bool, given_there: bool) -> None:
    values = {"port": (7, 9), "acls": (False, False), "exclude": (["a"], ["b"]), "max_size": ("1M", "2M")}[key]
    mirror = {"name": "a", "source": "root@a:/"}
    expected = parse(
        {
            "store": {"path": "/s"},
            "mirror": [mirror | ({key: values[1]} if given_there else {key: values[0]} if given_here else {})],
        }
    )
    found = parse(
        {
            "store": {"path": "/s"},
            "defaults": {key: values[0]} if given_here else {},
            "mirror": [mirror | ({key: values[1]} if given_there else {})],
        }
    )
    assert found.mirrors == expected.mirrors
