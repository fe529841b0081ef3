"""The README and the pages against the program and each other: short, complete, listed, and without a dead link."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from snapmirror import pages
from snapmirror.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
LONGEST_README = 250
LONGEST_SUMMARY = 105
FILES = [
    README,
    *sorted(pages.FOLDER.glob("*.md")),
    *(ROOT / name / "README.md" for name in ("tests", "scripts", "vm")),
]
MARK = "snapmirror config reference -->\n"


def prose(text: str) -> str:
    """Without the lines of code, in which nothing is a link or a heading."""
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """What a link into a file may name, made of its headings as GitHub makes it."""
    titles = re.findall(r"^#+ (.+)$", prose(path.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def test_every_page_is_listed_once() -> None:
    assert sorted(pages.NAMES) == sorted(path.stem for path in pages.FOLDER.glob("*.md"))


def test_the_readme_lists_every_page_with_its_summary() -> None:
    listed = re.findall(
        r"^- \[([a-z0-9-]+)\]\(snapmirror/pages/\1\.md\): (.+)$", README.read_text("utf-8"), re.MULTILINE
    )
    assert listed == [(name, pages.summary(name)) for name in pages.NAMES]


@pytest.mark.parametrize("name", pages.NAMES)
def test_a_page_begins_with_its_title_and_what_it_tells(name: str) -> None:
    title, blank, summary, after = pages.text(name).split("\n")[:4]
    assert title.startswith("# ") and not blank and not after
    assert summary.endswith(".") and 10 < len(summary) <= LONGEST_SUMMARY


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_is_dead(path: Path) -> None:
    for link in links(path.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_relative_to(ROOT) and target.is_file(), f"{link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


def test_a_dead_link_is_found() -> None:
    assert links("see [a page](a.md#b), not\n    [code](c.md)\n") == ["a.md#b"]
    assert "the-header-of-an-encrypted-image" in anchors(pages.FOLDER / "read-by-hand.md")


def test_the_reference_of_the_configuration_is_what_the_program_says() -> None:
    stands = pages.text("configuration").split(f"<!-- made by: {MARK}")[1].split("<!-- end of:")[0]
    printed = CliRunner().invoke(app, ["config", "reference"])
    assert printed.exit_code == 0
    assert stands.strip() == printed.stdout.strip(), "put the output of 'snapmirror config reference' there"


def test_a_wheel_has_the_pages(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "snapmirror", tmp_path / "snapmirror", ignore=shutil.ignore_patterns("__pycache__"))
    build = "import setuptools.build_meta as meta; print(meta.build_wheel('dist'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(tmp_path / "dist" / done.stdout.split()[-1]) as wheel:
        inside = {name for name in wheel.namelist() if name.endswith(".md")}
    assert inside == {f"snapmirror/pages/{name}.md" for name in pages.NAMES}
