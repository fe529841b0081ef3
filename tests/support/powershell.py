"""PowerShell read without PowerShell: parse trees by tree-sitter, and what the tests want of them.

For what an engine cannot show (tests/support/pwsh.py has one): what Windows PowerShell 5.1 lacks, and whether the calls
of Windows' own cmdlets, which are not where these tests run, pass parameters that there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser


@cache
def parsed(path: Path) -> Node:
    """The root of a file's tree."""
    return Parser(Language(tree_sitter_powershell.language())).parse(path.read_bytes()).root_node


def walk(node: Node, *types: str) -> Iterator[Node]:
    """Every node of these types at or below a node; all, if none is named."""
    if not types or node.type in types:
        yield node
    for child in node.children:
        yield from walk(child, *types)


def text(node: Node) -> str:
    """What stands there."""
    return (node.text or b"").decode()


@dataclass(frozen=True)
class Call:
    """A command that is called, and the parameters it is given by name."""

    name: str
    parameters: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class Function:
    """A function."""

    name: str
    path: Path
    parameters: dict[str, str]
    attributes: str

    @property
    def asks(self) -> bool:
        """Whether it takes -WhatIf and -Confirm."""
        return "SupportsShouldProcess" in self.attributes


def functions(path: Path) -> list[Function]:
    """The functions that a file defines."""
    return [
        _function(text(next(walk(node, "function_name"))), path, node)
        for node in walk(parsed(path), "function_statement")
    ]


def _function(name: str, path: Path, node: Node) -> Function:
    block = next(walk(node, "param_block"), None)
    parameters: dict[str, str] = {}
    for parameter in walk(block, "script_parameter") if block else ():
        variable = next(child for child in parameter.children if child.type == "variable")
        parameters[text(variable).lstrip("$")] = text(parameter)
    above = [child for child in block.children if child.type == "attribute_list"] if block else []
    return Function(name, path, parameters, " ".join(map(text, above)))


def calls(path: Path) -> list[Call]:
    """The commands that a file calls by name (programs in variables are not among them)."""
    found = []
    for node in walk(parsed(path), "command"):
        name = next((child for child in node.children if child.type == "command_name"), None)
        if name is None:
            continue
        elements = [child for child in node.children if child.type == "command_elements"]
        given = [text(one) for element in elements for one in element.children if one.type == "command_parameter"]
        splatted = [text(one)[1:] for element in elements for one in _own(element) if text(one)[:1] == "@"]
        given += [f"-{key}" for one in splatted for key in _keys_of(path, one)]
        found.append(Call(text(name), tuple(given), f"{path.name}:{node.start_point.row + 1}"))
    return found


def _own(node: Node) -> Iterator[Node]:
    """The variables below a node, but those in a block, which are for other commands."""
    for child in node.children:
        if child.type == "variable":
            yield child
        elif child.type != "script_block_expression":
            yield from _own(child)


def _keys_of(path: Path, variable: str) -> list[str]:
    """The keys of the table that a file assigns to a variable."""
    for node in walk(parsed(path), "assignment_expression"):
        if text(node.children[0]) == f"${variable}" and (found := keys(node)):
            return found
    return []


def keys(node: Node) -> list[str]:
    """The keys of the first table at or below a node."""
    table = next(walk(node, "hash_literal_expression"), None)
    return [_key(entry) for entry in _entries(table)] if table else []


def _entries(table: Node) -> list[Node]:
    body = next((child for child in table.children if child.type == "hash_literal_body"), None)
    return [child for child in body.children if child.type == "hash_entry"] if body else []


def data(path: Path) -> Any:
    """The content of a data file (.psd1): tables, lists, texts and numbers."""
    return _value(next(walk(parsed(path), "hash_literal_expression")))


def _value(node: Node) -> Any:
    if node.type == "hash_literal_expression":
        values = {_key(entry): [one for one in entry.children if one.type == "pipeline"] for entry in _entries(node)}
        return {key: _value(pipeline) for key, [pipeline] in values.items()}
    if node.type == "array_expression":
        found = []
        for one in walk(node, "unary_expression"):
            if _enclosing(one) == node:
                found.append(_value(one))
        return found
    if node.type == "string_literal":
        return text(node)[1:-1]
    if node.type == "decimal_integer_literal":
        return int(text(node))
    if node.type == "variable":
        return {"$true": True, "$false": False, "$null": None}.get(text(node).lower(), text(node))
    named = [child for child in node.children if child.is_named]
    return _value(named[0]) if len(named) == 1 else [_value(child) for child in named]


def _key(entry: Node) -> str:
    return text(entry.children[0]).strip("'\"")


def _enclosing(node: Node) -> Node | None:
    parent = node.parent
    while parent is not None and parent.type not in ("array_expression", "hash_literal_expression"):
        parent = parent.parent
    return parent
