"""What `snapmirror help` makes for a system: manual pages that `man` takes without a warning, completion for shells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from snapmirror import pages
from snapmirror.cli import roff
from snapmirror.cli.commands import MODULES

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "SNAPMIRROR_CONFIG": "/nonexistent", "LC_ALL": "C.UTF-8", "MANWIDTH": "90"}
    return {**os.environ, **own, **more}


def help_(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "snapmirror", "help", *words]
    return subprocess.run(argv, capture_output=True, text=True, env=environment(), check=False)


def shown(path: Path) -> str:
    """The page as `man` shows it; it has nothing to complain of."""
    argv = ["man", "--warnings", "--local-file", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("share") / "man"
    done = help_("--man", str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [f"{folder}/man1/snapmirror.1", f"{folder}/man5/snapmirror.toml.5"]
    return folder


def test_the_manual_page_has_every_command_and_exit_code(manual: Path) -> None:
    text = shown(manual / "man1" / "snapmirror.1")
    for command in MODULES:
        assert re.search(rf"^   snapmirror {command}\b", text, re.MULTILINE), command
    assert re.search(r"^   snapmirror config check$", text, re.MULTILINE)
    assert "snapmirror config reference" not in text  # hidden
    assert re.search(r"^       --accept-changes\n              Go on although", text, re.MULTILINE)
    assert re.search(r"^       13 +a guard stopped the run", text, re.MULTILINE)
    assert all(re.search(rf"^       {name}\b", text, re.MULTILINE) for name in pages.NAMES)


def test_the_manual_page_of_the_configuration_has_every_key(manual: Path) -> None:
    text = shown(manual / "man5" / "snapmirror.toml.5")
    for section, key in re.findall(r"^(?:## (.+)|\| `([a-z_]+)` \|)", pages.text("configuration"), re.MULTILINE):
        if section:
            assert f"\n   {section}\n" in text
        else:
            assert re.search(rf"^       {key}\b", text, re.MULTILINE), key
    assert "Required. Example" in text
    assert '"D:\\\\Snapmirror\\\\snapmirror.img"' in text  # backslashes are themselves
    assert "config reference" not in text  # a comment


@pytest.mark.parametrize("name", pages.NAMES)
def test_every_page_could_be_one(name: str, tmp_path: Path) -> None:
    """What the converter does not know would be a warning, or Markdown that is left."""
    path = tmp_path / "page.7"
    path.write_text("\n".join(['.TH "PAGE" 7', *roff.from_markdown(pages.text(name), ".SH")]) + "\n", encoding="utf-8")
    text = shown(path)
    assert not re.search(r"\]\(|\*\*|^ *\|", text, re.MULTILINE)


def test_text_is_never_a_request() -> None:
    assert roff.plain(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert roff.inline("'quoted' **.bold** `-x\\n`") == "\\&'quoted' \\fB\\&.bold\\fR \\fB\\-x\\en\\fR"
    assert (
        roff.inline("[Verify](verify.md#a), [The VM](../../vm/README.md)") == "Verify (snapmirror help verify), The VM"
    )


@pytest.mark.parametrize(
    "words",
    [("--man", "/proc/none/man"), ("--man", "/etc/passwd"), ("--completion", "tcsh"), ("find", "--man", "/tmp")],
)
def test_wrong_usage_is_2(words: tuple[str, ...]) -> None:
    done = help_(*words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("sta",), ["status"]),
        (("help", "restore-"), ["restore-server"]),
        (("config", "sch"), ["schema"]),
        (("run", "--acc"), ["--accept-changes"]),
    ],
)
def test_bash_completes(tmp_path: Path, words: tuple[str, ...], wanted: list[str]) -> None:
    program = tmp_path / "snapmirror"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m snapmirror "$@"\n')
    program.chmod(0o755)
    script = 'eval "$(snapmirror help --completion bash)"\nCOMP_WORDS=(snapmirror "$@") COMP_CWORD=$#\n'
    script += (
        'complete -p snapmirror >/dev/null && _snapmirror_completion snapmirror && printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True,
        env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}"),
    )  # fmt: skip
    assert (done.stdout.split("\n"), done.stderr) == ([*wanted, ""], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    done = help_("--completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_SNAPMIRROR_COMPLETE=complete_{shell}" in done.stdout
    assert (shell == "zsh") == done.stdout.startswith("#compdef snapmirror\n")  # its first line is how zsh finds it
