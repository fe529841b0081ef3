"""The attributes of folders: the last step of filling a slot restores those that changed with the names in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import parent
from snapmirror.snapshots.lines import is_directory, unnumbered
from snapmirror.snapshots.names import FolderAttributes, Tree
from snapmirror.snapshots.plan import Plan

Known = Mapping[bytes, FolderAttributes]
"""Attributes of folders, by path."""


def of_changing(plan: Plan, slot: Path) -> Known:
    """The attributes of folders in which a plan will change names, while the slot still equals the newest snapshot."""
    here = Tree(slot)
    found = ((path, here.attributes(path)) for path in _touched(plan))
    return {path: attributes for path, attributes in found if attributes is not None}


def restore(plan: Plan, also: Iterable[bytes], tree: Path, slot: Path, before: Known | None = None) -> None:
    """Give folders that are not in the plan, but in which names have changed, the attributes that they have in `tree`.

    `also` are folders that were changed otherwise than by the plan. Those known from `before` need not be looked up.
    """
    planned = set(asked_for(plan, folders=True))
    also, gone = set(also), _gone(plan)
    here, there = Tree(slot), Tree(tree)
    for path in sorted((_touched(plan) | also) - planned - gone):
        known = None if before is None or path in also else before.get(path)
        if known is not None:
            here.set_attributes(path, known)
        else:
            here.copy_attributes(there, path)


def asked_for(plan: Plan, *, folders: bool = False) -> Iterator[bytes]:
    """The paths that get something new; `folders`: only folders."""
    for _, new in chain(plan.pairs(), (pair for pair, _ in plan.links)):
        assert new is not None
        if not folders or is_directory(new):
            yield entry.path_of(new)


def _touched(plan: Plan) -> set[bytes]:
    return {*map(parent, asked_for(plan)), *map(parent, _gone(plan))}


def _gone(plan: Plan) -> set[bytes]:
    return {entry.path_of(unnumbered(line)) for line in plan.delete}
