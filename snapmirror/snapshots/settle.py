"""The last step of filling a slot: folders get back what changing names in them has changed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import parent
from snapmirror.snapshots.manifest import PREFIX
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan


def settle(plan: Plan, also: Iterable[bytes], tree: Path, slot: Path) -> None:
    """Give folders that are not in the plan, but in which names have changed, the attributes that they have in `tree`.

    `also` are folders that something else than the plan has changed.
    """
    planned: set[bytes] = set()
    touched = set(also)
    for _, new in chain(plan.pairs(), (pair for pair, _ in plan.links)):
        assert new is not None
        one = entry.parse(new)
        touched.add(parent(one.path))
        if one.is_directory:
            planned.add(one.path)
    gone = {before.path for before in (entry.parse(line[PREFIX:]) for line in plan.delete)}
    touched.update(map(parent, gone))
    here, there = Tree(slot), Tree(tree)
    for path in sorted(touched - planned - gone):
        here.copy_attributes(there, path)
