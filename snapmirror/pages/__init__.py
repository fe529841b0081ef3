"""The pages that travel with the program: one Markdown file per task beside this module, shown by `snapmirror help`.

A page is named after its file. Its first line is its title, its third line says in one sentence what it tells. The
order here is the order in which a reader needs them; the README lists them in the same order.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
GROUPS = {
    "Set up, and every day": (
        "install",
        "first-backup",
        "configuration",
        "sources",
        "every-night",
        "retention",
        "restore",
        "restore-server",
        "find",
        "remove",
        "verify",
    ),
    "When something is wrong": ("refusals", "exit-codes", "ransomware", "read-by-hand", "limits"),
    "Where the store is kept, and who may read it": (
        "without-root",
        "zfs",
        "share",
        "copy",
        "who-may-read",
        "explorer",
        "who-holds-what",
    ),
    "With a Windows machine": ("vm", "hyper-v", "virtualbox", "wsl2", "qemu", "host", "two-keys"),
    "How it is made": ("glossary", "how-it-works", "formats"),
}
NAMES = tuple(name for group in GROUPS.values() for name in group)


def text(name: str) -> str:
    """The page, as Markdown. `name` is one of NAMES."""
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def summary(name: str) -> str:
    """What the page tells, in one sentence (Markdown)."""
    with (FOLDER / f"{name}.md").open(encoding="utf-8") as page:
        return [next(page) for _ in range(3)][2].rstrip("\n")
