"""MODULE_PARM: integers of a module that are words in RAM behind the same name.

A module's source is rewritten before it is compiled: where a function names a parameter that
is not its own variable, it reads or writes a field of the struct `__parameters__` in the
module's static data. So every process sees the same value, and `global name; name = x` in any
function is a store to RAM. See docs/decisions/module-parameters.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cpus.errors import ConfigError
from smpmm.namespace import PARAMETERS

PATTERN = re.compile(r"(?P<count>\d+(-\d+)?)?(?P<letter>[bhils])")
INTEGERS = {"b": (-128, 255), "h": (-(1 << 15), (1 << 15) - 1)}
INT_RANGE = (-(1 << 31), (1 << 31) - 1)


def declared(tree: ast.Module, name: str) -> dict[str, str]:
    """Return the parameters that a module's top level declares: name → type letter."""
    found = {}
    for node in tree.body:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        call = node.value
        if not (isinstance(call.func, ast.Name) and call.func.id == "MODULE_PARM"):
            continue
        constants = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        values = [value for value in constants if isinstance(value, str)]
        if len(values) != 2 or len(call.args) != 2:
            raise ConfigError(f"{name}: line {node.lineno}: write MODULE_PARM('name', 'i')")
        match = PATTERN.fullmatch(values[1])
        if match is None or match["count"]:
            raise ConfigError(
                f"{name}: parameter {values[0]} has type {values[1]!r}; "
                "there are b, h, i, l (integers) and s (text)"
            )
        found[values[0]] = match["letter"]
    return found


def check_given(
    name: str, parameters: Mapping[str, str], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return insmod's parameters as values; ConfigError for an unknown name or a bad value."""
    values: dict[str, Any] = {}
    for parameter, value in given.items():
        letter = parameters.get(parameter)
        if letter is None:
            known = ", ".join(parameters) or "none"
            raise ConfigError(
                f"insmod {name}: invalid parameter parm_{parameter}; {name} has {known}"
            )
        if letter == "s":
            values[parameter] = str(value)
            continue
        low, high = INTEGERS.get(letter, INT_RANGE)
        try:
            number = int(value, 0) if isinstance(value, str) else int(value)
        except (TypeError, ValueError):
            raise ConfigError(f"insmod {name}: {parameter}={value!r}: not a number") from None
        if not low <= number <= high:
            raise ConfigError(
                f"insmod {name}: {parameter}={number}: not within {low} to {high}"
            )
        values[parameter] = number
    return values


def rewrite(tree: ast.Module, words: Iterable[str]) -> ast.Module:
    """Make functions read and write `words` through the struct of parameters, in place."""
    _Rewriter(frozenset(words)).visit(tree)
    return ast.fix_missing_locations(tree)


class _Rewriter(ast.NodeTransformer):
    """Replace names in functions, unless an enclosing function has a variable of that name."""

    def __init__(self, words: frozenset[str]) -> None:
        self.words = words
        self.scopes: list[frozenset[str]] = []

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not self.scopes or node.id not in self.words:
            return node
        if any(node.id in scope for scope in self.scopes):
            return node
        struct = ast.copy_location(ast.Name(PARAMETERS, ast.Load()), node)
        return ast.copy_location(ast.Attribute(struct, node.id, node.ctx), node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        target = self.visit_Name(node.target)
        if not isinstance(target, ast.Name):
            raise SyntaxError(f"line {node.lineno}: assign {node.target.id} in a statement")
        node.value = self.visit(node.value)
        return node

    def visit_FunctionDef(self, node: Any) -> ast.AST:
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        self._visit_outside(node)
        self._within(_locals(node), node.body)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._visit_outside(node)
        self.scopes.append(_arguments(node.args))
        node.body = self.visit(node.body)
        self.scopes.pop()
        return node

    def _visit_outside(self, node: Any) -> None:
        """Visit what is evaluated where the function is defined."""
        arguments = node.args
        arguments.defaults = [self.visit(one) for one in arguments.defaults]
        arguments.kw_defaults = [one and self.visit(one) for one in arguments.kw_defaults]

    def _within(self, scope: frozenset[str], body: list[ast.stmt]) -> None:
        self.scopes.append(scope)
        body[:] = [self.visit(one) for one in body]
        self.scopes.pop()

    def _comprehension(self, node: Any) -> ast.AST:
        if not self.scopes:
            return node
        first = node.generators[0]
        first.iter = self.visit(first.iter)
        targets = {
            name.id
            for generator in node.generators
            for name in ast.walk(generator.target)
            if isinstance(name, ast.Name)
        }
        self.scopes.append(frozenset(targets))
        for generator in node.generators:
            if generator is not first:
                generator.iter = self.visit(generator.iter)
            generator.ifs = [self.visit(one) for one in generator.ifs]
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                setattr(node, part, self.visit(getattr(node, part)))
        self.scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


def _arguments(arguments: ast.arguments) -> frozenset[str]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [one for one in (arguments.vararg, arguments.kwarg) if one]
    return frozenset(one.arg for one in every)


def _locals(function: Any) -> frozenset[str]:
    """Return the names that a function's own scope binds."""
    names = set(_arguments(function.args))
    shared: set[str] = set()
    queue = list(function.body)
    while queue:
        node = queue.pop()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            shared.update(node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue
        elif isinstance(node, ast.Lambda):
            continue
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((a.asname or a.name).partition(".")[0] for a in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            # Its targets are its own; an assignment expression in it is the function's.
            queue += [one for one in ast.walk(node) if isinstance(one, ast.NamedExpr)]
            continue
        queue.extend(ast.iter_child_nodes(node))
    return frozenset(names - shared)
