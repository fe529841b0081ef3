"""The README against the program: the reference of the configuration is the present one, every page can be found."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from snapmirror.cli.app import app

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
MARK = "snapmirror config reference -->\n"


def test_the_reference_of_the_configuration_is_what_the_program_says() -> None:
    stands = README.split(f"<!-- made by: {MARK}")[1].split("<!-- end of:")[0]
    printed = CliRunner().invoke(app, ["config", "reference"])
    assert printed.exit_code == 0
    assert stands.strip() == printed.stdout.strip(), "put the output of 'snapmirror config reference' there"


def test_every_link_leads_to_a_page_and_every_page_is_listed() -> None:
    pages = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", README, flags=re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", README))
    assert links == pages
