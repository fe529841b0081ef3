"""`snapmirror help`: without a configuration, plain when piped, laid out and through a pager on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from snapmirror import pages

ROOT = Path(__file__).resolve().parents[2]
HELP = [sys.executable, "-m", "snapmirror", "help"]


def environment(**more: str) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "SNAPMIRROR_CONFIG": "/nonexistent", "TERM": "xterm", "COLUMNS": "80"}
    return {**os.environ, **own, **more}


def help_(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HELP, *words], capture_output=True, text=True, env=environment(), check=False)


def on_a_terminal(*words: str, **more: str) -> str:
    """What a terminal shows; the command must end with 0."""
    shown, terminal = os.openpty()
    with subprocess.Popen([*HELP, *words], stdin=terminal, stdout=terminal, env=environment(**more)) as child:
        os.close(terminal)
        told = b""
        try:
            while chunk := os.read(shown, 1 << 16):
                told += chunk
        except OSError:  # nobody has the terminal any more
            pass
    os.close(shown)
    assert child.returncode == 0
    return told.decode()


def test_the_pages_are_listed_with_a_line_each() -> None:
    done = help_()
    assert (done.returncode, done.stderr) == (0, "")
    for name in pages.NAMES:
        assert re.search(rf"^  {name} +{re.escape(pages.summary(name))}$", done.stdout, re.MULTILINE), name


def test_the_list_fits_a_terminal() -> None:
    shown = on_a_terminal()
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert all(f"  {name} " in shown for name in pages.NAMES)


@pytest.mark.parametrize("wanted", ["restore", "restore.md", "restore.md#anything", "Restore"])
def test_a_page_that_is_piped_is_the_file(wanted: str) -> None:
    done = help_(wanted)
    assert (done.returncode, done.stdout, done.stderr) == (0, pages.text("restore"), "")


@pytest.mark.parametrize(("wanted", "near"), [("restor", "restore"), ("usb", "copy"), ("key", "two-keys")])
def test_an_unknown_page_is_a_usage_error_with_near_names(wanted: str, near: str) -> None:
    done = help_(wanted)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"there is no page '{wanted}'" in done.stderr
    assert re.search(rf"similar: .*\b{near}\b", done.stderr), done.stderr


@pytest.mark.parametrize("wanted", ["", "../__init__", "/etc/passwd", "\x1b[2J"])
def test_nothing_but_pages_is_read(wanted: str) -> None:
    done = help_(wanted)
    assert (done.returncode, done.stdout) == (2, "")
    assert "\x1b" not in done.stderr


def test_a_terminal_gets_the_page_through_its_pager(tmp_path: Path) -> None:
    shown = on_a_terminal("exit-codes", PAGER=f"tee {tmp_path / 'paged'}")
    assert (tmp_path / "paged").read_text() == shown.replace("\r", "")
    assert "\x1b[" in shown and "|---|" not in shown  # laid out
    assert "something is still mounted" in shown


@pytest.mark.parametrize("pager", ["", "no-such-pager", "a 'quote", "/etc/passwd"])
def test_without_a_pager_it_is_printed(pager: str) -> None:
    assert "something is still mounted" in on_a_terminal("exit-codes", PAGER=pager)


@pytest.mark.parametrize("name", pages.NAMES)
def test_links_are_shown_as_what_to_type(name: str) -> None:
    from snapmirror.cli.help_command import laid_out

    text = re.sub(r"\x1b\[[0-9;]*m", "", laid_out(pages.text(name), 1000))
    assert ".md" not in text.replace("README.md", "")
    for other in re.findall(r"\]\(([a-z-]+)\.md", pages.text(name)):
        assert re.search(rf"\(help\s+{other}\)", text), other


def test_the_program_tells_of_it() -> None:
    done = subprocess.run([*HELP[:-1], "--help"], capture_output=True, text=True, env=environment(), check=True)
    assert "'snapmirror help'" in done.stdout
    assert re.search(r"^  help +List the pages", done.stdout, re.MULTILINE)


def test_messages_name_pages_that_there_are() -> None:
    """In the program, the appliance, the scripts and the texts; and none sends anybody to the README for a page."""
    files = [path for folder in ("snapmirror", "vm", "scripts") for path in (ROOT / folder).rglob("*")]
    named: set[str] = set()
    for path in [ROOT / "README.md", *files]:
        if path.suffix in (".py", ".md", ".ps1", ".txt", "") and path.is_file():
            text = path.read_text(encoding="utf-8")
            named |= set(re.findall(r"snapmirror help ([a-z][a-z-]*)", text))
            assert path.suffix == ".md" or "see the README" not in text, path
    assert {"host", "restore-server", "two-keys"} <= named
    assert named <= set(pages.NAMES)


def test_other_commands_do_not_load_it() -> None:
    code = "import sys; import snapmirror.cli.app; print(*{'snapmirror.pages', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == ""
