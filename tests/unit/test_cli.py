"""The command line as a process: exit codes, what is printed where, signals, broken pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
import typer.main

from snapmirror import __version__
from snapmirror.cli.app import app
from snapmirror.cli.commands import MODULES

ROOT = Path(__file__).resolve().parents[2]
SMALLEST = '[store]\npath = "{0}/store"\nstate_dir = "{0}/state"\n[[mirror]]\nname = "etc"\nsource = "/etc"\n'
COMMANDS = "init run plan list find diff restore verify pin unpin mount umount doctor config"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def snapmirror(*words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snapmirror", *map(str, words)], capture_output=True, text=True, errors="replace",
        env=environment(**more), stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "snapmirror.toml"
    path.write_text(SMALLEST.format(tmp_path))
    return path


def test_version_and_help() -> None:
    assert snapmirror("--version").stdout == f"snapmirror {__version__}\n"
    help_text = snapmirror("--help").stdout
    for word in COMMANDS.split():
        assert f"\n  {word} " in help_text, word
    assert "Exit codes" in help_text


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["--nonsense"], ["config", "nonsense"], ["--quiet", "--verbose", "list"]]
)
def test_wrong_usage_is_2(words: list[str]) -> None:
    done = snapmirror(*words)
    assert done.returncode == 2
    assert "Usage" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_sample_is_a_configuration(tmp_path: Path) -> None:
    sample = tmp_path / "sample.toml"
    sample.write_text(snapmirror("config", "sample").stdout)
    done = snapmirror("--config", sample, "config", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is fine: 1 mirror (web1)" in done.stdout


def test_schema_is_json() -> None:
    assert json.loads(snapmirror("config", "schema").stdout)["properties"].keys() >= {
        "store",
        "image",
        "mirror",
        "report",
    }


def test_errors_are_a_sentence_a_hint_and_a_code(tmp_path: Path) -> None:
    done = snapmirror("--config", tmp_path / "no\x1b[2J.toml", "config", "check")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("snapmirror: error: the configuration ")
    assert "\n  hint: " in done.stderr
    assert "\x1b" not in done.stderr


def test_a_bug_is_1_and_its_traceback_only_for_verbose(config: Path, tmp_path: Path) -> None:
    """A module that cannot be imported stands for a bug; it is put before the real one."""
    fake = tmp_path / "fake" / "sitecustomize.py"
    fake.parent.mkdir()
    fake.write_text(
        "import snapmirror.config.sample as s\ndef sample(): raise RuntimeError('boom')\ns.sample = sample\n"
    )
    path = f"{fake.parent}:{ROOT}"
    quiet = snapmirror("--config", config, "config", "sample", PYTHONPATH=path)
    assert quiet.returncode == 1
    assert "this is a bug: RuntimeError: boom" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in snapmirror("--verbose", "config", "sample", PYTHONPATH=path).stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = f"set -o pipefail; {sys.executable} -m snapmirror config sample | head -n 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_closed_streams_do_no_harm(config: Path) -> None:
    script = f"{sys.executable} -m snapmirror --config {config} config check <&- >&- 2>&-"
    done = subprocess.run(["bash", "-c", script], env=environment(), check=False)
    assert done.returncode == 0


def test_a_configuration_that_cannot_be_read_is_said(config: Path) -> None:
    """Root reads everything, so it becomes somebody else first, when all is imported that this needs."""
    config.chmod(0o000)
    script = (
        "import os, snapmirror.cli.app, snapmirror.cli.output, snapmirror.config, snapmirror.process, encodings.idna\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        f"snapmirror.cli.main(['--config', {str(config)!r}, 'config', 'check'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 2, done
    assert "cannot be read by this user" in done.stderr
    assert "hint: run as the user who owns it" in done.stderr


def test_a_full_disk_for_the_output_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "snapmirror", "config", "schema"], stdout=full, stderr=subprocess.PIPE, text=True,
            env=environment(), check=False,
        )  # fmt: skip
    assert done.returncode == 11
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_signals_unwind_and_a_second_one_changes_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """A key command that sleeps stands for any program that is waited for."""
    ready = tmp_path / "ready"
    config = tmp_path / "snapmirror.toml"
    config.write_text(
        f'[store]\npath = "{tmp_path}/store"\nstate_dir = "{tmp_path}/state"\n[image]\nfile = "{tmp_path}/x.img"\n'
        f'size = "512M"\nencryption = "luks1"\nheader_backup = "{tmp_path}/header"\n'
        f'key_command = ["sh", "-c", "touch {ready}; exec sleep 61.5"]\n[[mirror]]\nname = "etc"\nsource = "/etc"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "snapmirror", "--config", config, "init"], stderr=subprocess.PIPE, text=True,
        env=environment(), start_new_session=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    while not ready.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert f"stopped by {number.name}" in said
    assert "Traceback" not in said
    assert subprocess.run(["pgrep", "--full", "sleep 61.5"], capture_output=True, check=False).stdout == b""
    assert not (tmp_path / "x.img").exists()


def test_nothing_heavy_is_imported_before_a_night() -> None:
    """`run` must start fast: tables, other programs' libraries and tests stay out."""
    script = (
        "import sys; from snapmirror.cli import app; from snapmirror.config import parse;"
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'rich', 'psutil', 'zstandard', 'prometheus_client', 'winrm', 'requests', 'numpy', 'asyncio', 'pygments'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_is_made_by_the_module_that_the_table_names() -> None:
    found: dict[str, str] = {}
    for path in sorted((ROOT / "snapmirror/cli").glob("*.py")):
        module = import_module(f"snapmirror.cli.{path.stem}")
        if hasattr(module, "register"):
            some = typer.Typer()
            some.callback()(lambda: None)
            module.register(some)
            found |= dict.fromkeys(typer.main.get_group(some).commands, path.stem)
    assert found == MODULES
    assert list(typer.main.get_group(app).commands) == list(MODULES), "the order of --help"


def test_a_command_imports_no_other_one() -> None:
    """What is counted is what a start costs."""
    script = (
        "import snapmirror.cli, sys; snapmirror.cli.run_command(['--quiet', 'status', '--help'])\n"
        "names = {name for name in sys.modules if name.startswith('snapmirror.')}\n"
        "sys.stderr.write(' '.join(sorted(name for name in names if name.endswith(('_command', '_commands')))))\n"
        "sys.stderr.write(f'\\n{len(names)}')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    commands, number = done.stderr.splitlines()
    assert commands == "snapmirror.cli.status_command"
    assert int(number) <= 26, "--help of a command imports more of ours than it did"


@pytest.mark.parametrize(("command", "most"), [("--help", 37), ("list", 140), ("status", 96), ("run", 180)])
def test_a_start_imports_no_more_than_it_did(command: str, most: int, tmp_path: Path) -> None:
    """Nearly all of the time of these commands is imports. `sh` brings asyncio: a plain folder is read without both."""
    for name in ("source", "store"):
        (tmp_path / name).mkdir()
    (tmp_path / "source/file").touch()
    configuration = tmp_path / "c.toml"
    configuration.write_text(
        f'[store]\npath = "{tmp_path}/store"\nstate_dir = "{tmp_path}/state"\n[[mirror]]\nname = "web"\n'
        f'source = "{tmp_path}/source"\n[mirror.retention]\nkeep_last = 3\n'
    )
    before = snapmirror("--config", configuration, "run")
    assert before.returncode == 0, before.stderr
    script = (
        "import snapmirror.cli, sys; code = snapmirror.cli.run_command(sys.argv[1:])\n"
        "ours = [name for name in sys.modules if name.startswith('snapmirror.')]\n"
        'sys.stderr.write(f\'\\n{code} {len(ours)} {sorted({"sh", "asyncio"} & set(sys.modules))}\')'
    )
    argv = [sys.executable, "-c", script, "--quiet", "--config", str(configuration), command]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=True)
    code, number, heavy = done.stderr.splitlines()[-1].split(" ", 2)
    assert code == "0", done.stderr
    assert int(number) <= most, f"{command} imports {number} modules of ours"
    assert heavy == ("['asyncio', 'sh']" if command == "run" else "[]")


def test_plugins_of_other_packages_are_not_loaded(config: Path, tmp_path: Path) -> None:
    """Pydantic loads those of all packages that are installed."""
    package = tmp_path / "plugins"
    metadata = package / "intruder-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: intruder\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[pydantic]\nintruder = intruder:plugin\n")
    (package / "intruder.py").write_text("import sys\nsys.stderr.write('I am in')\nplugin = None\n")
    path = f"{ROOT}:{package}"
    model = "import pydantic; pydantic.create_model('Model', number=(int, 1))"
    argv = [sys.executable, "-c", model]
    by_itself = subprocess.run(argv, capture_output=True, text=True, env=environment(PYTHONPATH=path), check=False)
    assert "I am in" in by_itself.stderr
    ours = snapmirror("--config", config, "config", "check", PYTHONPATH=path)
    assert (ours.returncode, ours.stderr) == (0, ""), ours.stderr


@pytest.mark.parametrize("group", [(), ("config",), ("export",), ("host",)])
def test_no_summary_of_a_command_is_cut_off(group: tuple[str, ...]) -> None:
    told = snapmirror(*group, "--help", COLUMNS="80").stdout
    commands = told[told.index("Commands:") :]
    assert "..." not in commands and "\u2026" not in commands, commands
    assert max(map(len, commands.splitlines())) <= 80
