"""Markdown to roff, for manual pages: only the Markdown that our pages use.

Headings, paragraphs, lists, indented code, tables, bold, code and links. A table becomes a list of terms: its first
column is the term, a column headed `meaning` its text, any other one "Heading: cell".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPAN = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|\[([^\]]+)\]\(([^)]+)\)", re.DOTALL)


def plain(text: str) -> str:
    """Unformatted text, in a line of its own."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def inline(text: str) -> str:
    """A paragraph with bold, code and links; a link to a page becomes the name of that page."""
    done, at = "", 0
    for span in _SPAN.finditer(text):
        done += plain(text[at : span.start()]).removeprefix("\\&" if done else "")
        code, bold, title, target = span.groups()
        if title is not None:
            page = target.partition("#")[0].removesuffix(".md")
            done += (
                f"{plain(title)}" if "/" in page or title == page else f"{plain(title)} (snapmirror help {plain(page)})"
            )
        else:
            done += f"\\fB{inline(bold) if bold else plain(code)}\\fR"
        at = span.end()
    done += plain(text[at:]).removeprefix("\\&" if done else "")
    return f"\\&{done}" if done[:1] in (".", "'") else done


def quoted(text: str) -> str:
    """A title, as the argument of a request."""
    return '"' + plain(text).replace('"', "\\(dq") + '"'


def term(name: str, *paragraphs: str) -> list[str]:
    """A term in bold, and its meaning: roff."""
    lines = [".TP", inline(name) if _SPAN.search(name) else f"\\fB{plain(name)}\\fR"]
    for number, paragraph in enumerate(paragraphs):
        lines += [".br"] * (number > 0) + [inline(paragraph)]
    return lines


def from_markdown(text: str, heading: str = ".SS") -> list[str]:
    """The lines of roff of a piece of a page; `heading` is the request for its headings."""
    lines: list[str] = []
    for block in _blocks(text):
        first = block[0]
        if first.startswith("#"):
            lines.append(f"{heading} {quoted(first.lstrip('# '))}")
        elif first.startswith("    "):
            lines += [".PP", ".RS 4", ".nf", *(plain(line[4:]) for line in block), ".fi", ".RE"]
        elif first.startswith("|"):
            lines += _table(block)
        elif re.match(r"- |\d+\. ", first):
            lines += _list(block)
        else:
            lines += [".PP", inline(" ".join(block))]
    return lines


def _blocks(text: str) -> Iterator[list[str]]:
    """Blocks of adjoining lines, without comments."""
    for block in re.split(r"\n(?:[ \t]*\n)+", re.sub(r"^<!--.*-->$", "", text, flags=re.MULTILINE)):
        if block.strip():
            yield block.strip("\n").splitlines()


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def _table(rows: list[str]) -> list[str]:
    headings = _cells(rows[0])
    lines: list[str] = []
    for row in rows[2:]:
        cells = dict(zip(headings, _cells(row), strict=True))
        name = cells.pop(headings[0])
        meaning = [cells.pop("meaning")] if "meaning" in cells else []
        rest = ". ".join(_remark(heading, cell) for heading, cell in cells.items() if cell)
        lines += term(name, *meaning, *([rest] if rest else []))
    return lines


def _remark(heading: str, cell: str) -> str:
    return "Required" if cell == "required" else f"{heading.capitalize()}: {cell}"


def _list(block: list[str]) -> list[str]:
    items: list[list[str]] = []
    for line in block:
        if re.match(r"- |\d+\. ", line):
            items.append([line.partition(" ")[2]])
        else:
            items[-1].append(line.strip())
    return [line for item in items for line in (".IP \\(bu 2", inline(" ".join(item)))]
