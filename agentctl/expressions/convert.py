"""Jinja2's grammar -> our tree. The only file that imports jinja2; `parse` imports it when there is something to parse."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser

from agentctl.errors import ExpressionError
from agentctl.expressions.filters import FILTERS, LEFT_OUT
from agentctl.expressions.limits import MAX_BITS, MAX_DEPTH
from agentctl.expressions.suggestions import nearest, suggest
from agentctl.expressions.tests import CHECKS
from agentctl.expressions.tree import Tree

_ENVIRONMENT = Environment(autoescape=False)
_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">=", "in": "in", "notin": "not in"}
_SELECTS = {"select": (True, False), "reject": (False, False), "selectattr": (True, True), "rejectattr": (False, True)}


def convert(source: str, offset: int) -> Tree:
    """The tree of `source`, whose offsets count from `offset`. Raises ExpressionError."""
    try:
        parser = Parser(_ENVIRONMENT, "", state="variable")
        parser.stream = _tokens(source)
        node = parser.parse_expression()
        if not parser.stream.eos:
            rest = parser.stream.current
            raise TemplateSyntaxError(f"unexpected '{rest.value}' after the end of the expression", rest.lineno)
        return _Converter(offset).tree(node)
    except TemplateSyntaxError as error:
        message, at = re.sub(r" at \d+$", "", error.message or "invalid syntax").rstrip("."), error.lineno
        if "end of template" in message:
            message, at = "the expression ends too soon", len(source.rstrip())
        raise ExpressionError(message, offset=offset + min(at, len(source))) from None
    except ValueError as error:  # an integer literal with thousands of digits
        raise ExpressionError(str(error), offset=offset) from None


def literal(value: Any) -> Tree:
    """The tree of a constant. What msgpack cannot hold is written as digits."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return ["int", str(value)]
    return ["lit", value]


def _tokens(source: str) -> TokenStream:
    """The tokens of `source`, each with its offset where Jinja has the line: nodes then carry offsets."""
    lexer = _ENVIRONMENT.lexer

    def positioned() -> Iterator[Token]:
        position = 0
        try:
            for _, kind, text in lexer.tokeniter(source, None, state="variable"):
                yield from lexer.wrap(iter([(position, kind, text)]))
                position += len(text)
        except TemplateSyntaxError as error:
            raise TemplateSyntaxError(error.message or "invalid syntax", position) from None

    return TokenStream(positioned(), None, None)


class _Converter:
    """Walks the nodes of one expression."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.depth = 0

    def tree(self, node: nodes.Node) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(node, f"the expression is nested more than {MAX_DEPTH} levels deep")
        converter = _NODES.get(type(node).__name__)
        if converter is None:
            self.refuse(node, f"`{type(node).__name__.lower()}` cannot be used in an expression")
        tree = converter(self, node)
        self.depth -= 1
        return tree

    def optional(self, node: nodes.Node | None) -> Tree | None:
        return None if node is None else self.tree(node)

    def refuse(self, node: nodes.Node, message: str, suggestion: str | None = None) -> NoReturn:
        raise ExpressionError(message, offset=self.offset + node.lineno, suggestion=suggestion)

    def constant(self, node: nodes.Const) -> Tree:
        value = node.value
        if isinstance(value, float) and not math.isfinite(value):
            self.refuse(node, "the number is too large")
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            self.refuse(node, f"the number is too large (more than {MAX_BITS} bits)")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            self.refuse(node, "the string holds half a surrogate pair, which is no character")
        return literal(value)

    def name(self, node: nodes.Name) -> Tree:
        if node.name == "null":
            return ["lit", None]
        return ["path", self.offset + node.lineno, node.name]

    def attribute(self, node: nodes.Getattr) -> Tree:
        return self._subscribed(self.tree(node.node), ["lit", node.attr])

    def subscript(self, node: nodes.Getitem) -> Tree:
        base = self.tree(node.node)
        if isinstance(node.arg, nodes.Slice):
            bounds = [self.optional(bound) for bound in (node.arg.start, node.arg.stop, node.arg.step)]
            return ["slice", base, *bounds]
        if isinstance(node.arg, nodes.Tuple):
            self.refuse(node, "a subscript takes one key")
        return self._subscribed(base, self.tree(node.arg))

    def _subscribed(self, base: Tree, key: Tree) -> Tree:
        if base[0] == "path" and key[0] == "lit" and type(key[1]) in (str, int):
            return [*base, key[1]]
        return ["item", base, key]

    def negative(self, node: nodes.Neg) -> Tree:
        operand = self.tree(node.node)
        if operand[0] == "lit" and type(operand[1]) in (int, float):
            return literal(-operand[1])
        return ["neg", operand]

    def compare(self, node: nodes.Compare) -> Tree:
        tree = ["cmp", self.tree(node.expr)]
        for operand in node.ops:
            tree += [_SIGNS[operand.op], self.tree(operand.expr)]
        return tree

    def listing(self, node: nodes.List | nodes.Tuple) -> Tree:
        items = [self.tree(item) for item in node.items]
        return ["lit", [item[1] for item in items]] if all(item[0] == "lit" for item in items) else ["list", *items]

    def mapping(self, node: nodes.Dict) -> Tree:
        pairs = [[self.tree(pair.key), self.tree(pair.value)] for pair in node.items]
        for pair, (key, _) in zip(node.items, pairs, strict=True):
            if key[0] == "lit" and not isinstance(key[1], str):
                self.refuse(pair, "a key of a mapping must be a string")
        if all(key[0] == "lit" and value[0] == "lit" for key, value in pairs):
            return ["lit", {key[1]: value[1] for key, value in pairs}]
        return ["dict", *pairs]

    def call(self, node: nodes.Call) -> Tree:
        if not isinstance(node.node, nodes.Name) or node.node.name != "range":
            named = node.node.name if isinstance(node.node, nodes.Name) else None
            suggestion = "range" if named and nearest(named, ["range"]) else None
            written = f"`{named}` cannot be called" if named else "a value cannot be called"
            self.refuse(node, f"{written}; the only function is range{suggest(suggestion)}", suggestion)
        args, kwargs = self.arguments(node)
        if kwargs or not 1 <= len(args) <= 3:
            self.refuse(node, "range takes one to three integers")
        return ["range", *args]

    def arguments(self, node: Any) -> tuple[list[Tree], dict[str, Tree]]:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self.refuse(node, "`*` and `**` cannot be used in arguments")
        kwargs = {pair.key: self.tree(pair.value) for pair in node.kwargs}
        if len(kwargs) < len(node.kwargs):
            self.refuse(node, "an argument is named twice")
        return [self.tree(argument) for argument in node.args], kwargs

    def filter(self, node: nodes.Filter) -> Tree:
        if node.node is None:
            self.refuse(node, "a filter needs a value before it")
        base = self.tree(node.node)
        args, kwargs = self.arguments(node)
        if node.name in ("default", "d"):
            self.check(node, "filter", _default_shape, args, kwargs)
            return ["default", base, *_default_arguments(args, kwargs)]
        if node.name == "map":
            return self._map(node, base, args, kwargs)
        if node.name in _SELECTS:
            return self._select(node, base, args, kwargs)
        self.known(node, "filter", node.name, FILTERS)
        self.check(node, "filter", FILTERS[node.name], args, kwargs)
        if node.name in ("regex_search", "regex_replace"):
            self.pattern(node, args[0] if args else kwargs["pattern"])
        return ["filter", node.name, base, args, kwargs]

    def pattern(self, node: nodes.Node, tree: Tree) -> None:
        """Refuse a regular expression that is written out and cannot be used."""
        if tree[0] == "lit" and isinstance(tree[1], str):
            from agentctl.expressions.regex import compile_pattern

            try:
                compile_pattern(tree[1])
            except ExpressionError as error:
                self.refuse(node, error.message)

    def _map(self, node: nodes.Filter, base: Tree, args: list[Tree], kwargs: dict[str, Tree]) -> Tree:
        if not args:
            if "attribute" not in kwargs or set(kwargs) - {"attribute", "default"}:
                self.refuse(node, "filter 'map' takes attribute=..., and default=... if wanted, or the name of a filter")
            return ["map_attribute", base, kwargs["attribute"], kwargs.get("default")]
        name = self.written_name(node, "filter", args[0])
        if name in ("default", "d", "map", *_SELECTS):
            self.refuse(node, f"filter '{name}' cannot be mapped")
        self.known(node, "filter", name, FILTERS)
        self.check(node, "filter", FILTERS[name], args[1:], kwargs, name)
        return ["map_filter", name, base, args[1:], kwargs]

    def _select(self, node: nodes.Filter, base: Tree, args: list[Tree], kwargs: dict[str, Tree]) -> Tree:
        keep, by_attribute = _SELECTS[node.name]
        attribute = None
        if by_attribute:
            if not args:
                self.refuse(node, f"filter '{node.name}' takes the name of an attribute first")
            attribute, args = args[0], args[1:]
        if not args:
            return ["select", keep, attribute, None, base, [], {}]
        name = self.written_name(node, "test", args[0])
        if name not in ("defined", "undefined"):
            self.known(node, "test", name, CHECKS)
            self.check(node, "test", CHECKS[name], args[1:], kwargs, name)
        return ["select", keep, attribute, name, base, args[1:], kwargs]

    def test(self, node: nodes.Test) -> Tree:
        base = self.tree(node.node)
        args, kwargs = self.arguments(node)
        if node.name in ("defined", "undefined"):
            if args or kwargs:
                self.refuse(node, f"test '{node.name}' takes no arguments")
            return ["defined", base] if node.name == "defined" else ["not", ["defined", base]]
        self.known(node, "test", node.name, CHECKS)
        self.check(node, "test", CHECKS[node.name], args, kwargs)
        return ["test", node.name, base, args, kwargs]

    def written_name(self, node: nodes.Node, what: str, tree: Tree) -> str:
        if tree[0] != "lit" or not isinstance(tree[1], str):
            self.refuse(node, f"the name of the {what} must be written out as a string")
        return str(tree[1])

    def known(self, node: nodes.Node, what: str, name: str, table: dict[str, Any]) -> None:
        if name in table:
            return
        reason = LEFT_OUT.get(name) if what == "filter" else None
        if reason:
            self.refuse(node, f"there is no filter '{name}': {reason}")
        names = [*table, *_SELECTS, "map", "default"] if what == "filter" else [*table, "defined", "undefined"]
        suggestion = nearest(name, names)
        self.refuse(node, f"there is no {what} '{name}'{suggest(suggestion)}", suggestion)

    def check(
        self,
        node: Any,
        what: str,
        function: Callable[..., Any],
        args: list[Tree],
        kwargs: dict[str, Tree],
        name: str | None = None,
    ) -> None:
        """Refuse arguments that the function of a filter or a test does not take."""
        try:
            inspect.signature(function).bind(None, *args, **kwargs)
        except TypeError as error:
            self.refuse(node, f"{what} '{name or node.name}': {error}")


def _default_shape(value: Any, default_value: Any = "", boolean: Any = False) -> None:
    """Only its signature counts: the arguments of `default`."""


def _default_arguments(args: list[Tree], kwargs: dict[str, Tree]) -> tuple[Tree, Tree | None]:
    given: dict[str, Tree] = dict(zip(("default_value", "boolean"), args, strict=False)) | kwargs
    return given.get("default_value", ["lit", ""]), given.get("boolean")


def _pair(op: str) -> Callable[[_Converter, Any], Tree]:
    return lambda converter, node: [op, converter.tree(node.left), converter.tree(node.right)]


_NODES: dict[str, Callable[[_Converter, Any], Tree]] = {
    "Const": _Converter.constant,
    "Name": _Converter.name,
    "Getattr": _Converter.attribute,
    "Getitem": _Converter.subscript,
    "Neg": _Converter.negative,
    "Pos": lambda converter, node: ["pos", converter.tree(node.node)],
    "Not": lambda converter, node: ["not", converter.tree(node.node)],
    "And": _pair("and"),
    "Or": _pair("or"),
    "Add": _pair("+"),
    "Sub": _pair("-"),
    "Mul": _pair("*"),
    "Div": _pair("/"),
    "FloorDiv": _pair("//"),
    "Mod": _pair("%"),
    "Pow": _pair("**"),
    "Compare": _Converter.compare,
    "Concat": lambda converter, node: ["~", *(converter.tree(operand) for operand in node.nodes)],
    "CondExpr": lambda c, node: ["if", c.tree(node.test), c.tree(node.expr1), c.optional(node.expr2)],
    "List": _Converter.listing,
    "Tuple": _Converter.listing,
    "Dict": _Converter.mapping,
    "Call": _Converter.call,
    "Filter": _Converter.filter,
    "Test": _Converter.test,
}
