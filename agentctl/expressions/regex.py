"""Regular expressions in time proportional to text times pattern.

Python's `re` backtracks: `(a+)+$` on forty letters runs for ever, and nothing can interrupt it. So the pattern is parsed by
`re` (the syntax is Python's) and run by a machine of ours that follows all alternatives at once, in order of preference
(Pike's: https://swtch.com/~rsc/regexp/regexp2.html). Each step is paid from the evaluation's work budget. What such a
machine cannot do is refused: back-references, look-around, atomic groups and conditionals.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]  # the typeshed leaves out re's own parser
from re import _parser as sre_parser  # type: ignore[attr-defined]  # the same
from typing import Any, NamedTuple

from agentctl.errors import ExpressionError
from agentctl.expressions.limits import spend

MAX_PATTERN = 1_000  # characters
MAX_PROGRAM = 2_000  # instructions, repeats written out

CHARACTER, SPLIT, JUMP, SAVE, ASSERT, MATCH = range(6)
Saves = tuple[int, ...]
Test = Callable[[str, int], bool]  # (text, position) -> whether the place is right


class Characters(dict[str, bool]):
    """Which characters an instruction takes; each is asked about once."""

    def __init__(self, takes: Callable[[str], bool]) -> None:
        super().__init__()
        self.takes = takes

    def __missing__(self, character: str) -> bool:
        answer = self[character] = self.takes(character)
        return answer


class Program(NamedTuple):
    """`instructions`: (op, argument, argument). `slots`: two for each group, the whole match first. `prefix`: how every
    match begins, if that is known."""

    instructions: list[tuple[int, Any, Any]]
    slots: int
    names: dict[str, int]
    prefix: str

    def search(self, text: str, start: int = 0, *, advance: bool = False) -> Saves | None:
        """The leftmost match from `start` as positions [start, end, group 1 start, ...], -1 where a group took no part.
        `advance`: an empty match at `start` itself does not count."""
        threads: list[tuple[int, Saves]] = []
        seen: set[int] = set()
        found: Saves | None = None
        position, length, steps = start, len(text), 0
        while True:
            if found is None:
                if not threads and self.prefix:
                    position = text.find(self.prefix, position)
                    if position < 0:
                        return None
                self._follow(threads, seen, 0, text, position, (-1,) * self.slots)
            if not threads and (found is not None or position >= length):
                return found
            steps += 2 + len(seen)
            if steps > 1024:
                spend(steps // 3)
                steps = 0
            following: list[tuple[int, Saves]] = []
            seen = set()
            character = text[position] if position < length else None
            for at, saves in threads:
                op, takes, _ = self.instructions[at]
                if op == MATCH:
                    if advance and position == start:
                        continue
                    found = saves
                    break
                if character is not None and takes[character]:
                    self._follow(following, seen, at + 1, text, position + 1, saves)
            threads = following
            position += 1
            if position > length:
                return found

    def _follow(self, threads: list[tuple[int, Saves]], seen: set[int], at: int, text: str, position: int, saves: Saves) -> None:
        """Add what can be reached from instruction `at` without taking a character, in order of preference."""
        waiting = [(at, saves)]
        while waiting:
            at, saves = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            op, first, second = self.instructions[at]
            if op == JUMP:
                waiting.append((first, saves))
            elif op == SPLIT:
                waiting.append((second, saves))
                waiting.append((first, saves))
            elif op == SAVE:
                waiting.append((at + 1, (*saves[:first], position, *saves[first + 1 :])))
            elif op == ASSERT:
                if first(text, position):
                    waiting.append((at + 1, saves))
            else:
                threads.append((at, saves))

    def matches(self, text: str) -> Iterator[Saves]:
        """Every match that does not overlap the one before, as `re.finditer` finds them."""
        position, advance = 0, False
        while position <= len(text):
            spend(1)
            match = self.search(text, position, advance=advance)
            if match is None:
                return
            yield match
            position, advance = match[1], match[0] == match[1]

    def group(self, name: str | int) -> int:
        """The number of a group. Raises ExpressionError when there is none."""
        number = self.names.get(name) if isinstance(name, str) else name
        if number is None or not 0 <= number < self.slots // 2:
            raise ExpressionError(f"the regular expression has no group {name}")
        return number


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Program:
    """Raises ExpressionError for a pattern that is invalid, too long, or needs backtracking."""
    if len(pattern) > MAX_PATTERN:
        raise ExpressionError(f"the regular expression is longer than {MAX_PATTERN:,} characters")
    try:
        with warnings.catch_warnings():  # on sets that look nested: meant for those who port code, not for our users
            warnings.simplefilter("ignore")
            parsed = sre_parser.parse(pattern)
    except (re.error, OverflowError) as error:
        raise ExpressionError(f"the regular expression is invalid: {error}") from None
    except RecursionError:
        raise ExpressionError("the regular expression is nested too deeply") from None
    compiler = _Compiler()
    compiler.emit(SAVE, 0)
    compiler.sequence(parsed, parsed.state.flags)
    compiler.emit(SAVE, 1)
    compiler.emit(MATCH)
    return Program(compiler.program, 2 * parsed.state.groups, dict(parsed.state.groupdict), _prefix(parsed))


def _prefix(parsed: Any) -> str:
    letters = []
    if not parsed.state.flags & re.IGNORECASE:
        for op, argument in parsed:
            if op is not sre.LITERAL:
                break
            letters.append(chr(argument))
    return "".join(letters)


class _Compiler:
    def __init__(self) -> None:
        self.program: list[tuple[int, Any, Any]] = []

    def emit(self, op: int, first: Any = None, second: Any = None) -> int:
        if len(self.program) >= MAX_PROGRAM:
            raise ExpressionError("the regular expression is too large once its repeats are written out")
        self.program.append((op, first, second))
        return len(self.program) - 1

    def sequence(self, parsed: Any, flags: int) -> None:
        for op, argument in parsed:
            self.node(op, argument, flags)

    def node(self, op: Any, argument: Any, flags: int) -> None:
        if op in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
            self.emit(CHARACTER, Characters(_takes(op, argument, flags)))
        elif op is sre.SUBPATTERN:
            number, added, removed, inner = argument
            if number is not None:
                self.emit(SAVE, 2 * number)
            self.sequence(inner, (flags | added) & ~removed)
            if number is not None:
                self.emit(SAVE, 2 * number + 1)
        elif op is sre.BRANCH:
            self.branch(argument[1], flags)
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            self.repeat(*argument, greedy=op is sre.MAX_REPEAT, flags=flags)
        elif op is sre.AT:
            self.emit(ASSERT, _place(argument, flags))
        else:
            raise ExpressionError(
                "the regular expression needs backtracking: back-references, look-around, atomic groups and conditionals"
                " cannot be used"
            )

    def branch(self, alternatives: list[Any], flags: int) -> None:
        ends = []
        for alternative in alternatives[:-1]:
            split = self.emit(SPLIT)
            self.sequence(alternative, flags)
            ends.append(self.emit(JUMP))
            self.program[split] = (SPLIT, split + 1, len(self.program))
        self.sequence(alternatives[-1], flags)
        for end in ends:
            self.program[end] = (JUMP, len(self.program), None)

    def repeat(self, least: int, most: Any, inner: Any, *, greedy: bool, flags: int) -> None:
        for _ in range(least):
            self.sequence(inner, flags)
        if most is sre.MAXREPEAT:
            split = self.emit(SPLIT)
            self.sequence(inner, flags)
            self.emit(JUMP, split)
            self.program[split] = self._preferring(greedy, split + 1, len(self.program))
            return
        splits = []
        for _ in range(most - least):
            splits.append(self.emit(SPLIT))
            self.sequence(inner, flags)
        for split in splits:
            self.program[split] = self._preferring(greedy, split + 1, len(self.program))

    @staticmethod
    def _preferring(greedy: bool, inside: int, after: int) -> tuple[int, int, int]:
        return (SPLIT, inside, after) if greedy else (SPLIT, after, inside)


def _takes(op: Any, argument: Any, flags: int) -> Callable[[str], bool]:
    """Whether a character is taken by a node of width one."""
    if op is sre.ANY:
        return (lambda c: True) if flags & re.DOTALL else (lambda c: c != "\n")
    members = argument if op is sre.IN else [(sre.LITERAL, argument)]
    negated = op is sre.NOT_LITERAL or members[0][0] is sre.NEGATE
    tests = [_member(kind, value, flags) for kind, value in members if kind is not sre.NEGATE]

    def takes(character: str) -> bool:
        forms = {character, character.lower(), character.upper()} if flags & re.IGNORECASE else {character}
        return any(test(form) for test in tests for form in forms if len(form) == 1) is not negated

    return takes


def _member(kind: Any, value: Any, flags: int) -> Callable[[str], bool]:
    if kind is sre.LITERAL:
        return lambda c: ord(c) == value
    if kind is sre.RANGE:
        return lambda c: bool(value[0] <= ord(c) <= value[1])
    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[str(value).rsplit("_", 1)[1]]
    shown = letter.upper() if "_NOT_" in str(value) else letter
    category = re.compile(rf"\{shown}", flags & re.ASCII)
    return lambda c: category.match(c) is not None


def _is_word(text: str, position: int) -> bool:
    return 0 <= position < len(text) and (text[position].isalnum() or text[position] == "_")


def _at_boundary(text: str, position: int) -> bool:
    return _is_word(text, position - 1) is not _is_word(text, position)


def _place(where: Any, flags: int) -> Test:
    multiline = bool(flags & re.MULTILINE)
    if where in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY):
        if flags & re.ASCII:
            raise ExpressionError("the regular expression cannot use \\b together with the flag `a`")
        wanted = where is sre.AT_BOUNDARY
        return lambda text, position: _at_boundary(text, position) is wanted
    if where is sre.AT_BEGINNING and multiline:
        return lambda text, position: position == 0 or text[position - 1] == "\n"
    if where in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING):
        return lambda text, position: position == 0
    if where is sre.AT_END and multiline:
        return lambda text, position: position == len(text) or text[position] == "\n"
    if where is sre.AT_END:
        return lambda text, position: position == len(text) or (position == len(text) - 1 and text[position] == "\n")
    return lambda text, position: position == len(text)


def replace(program: Program, text: str, replacement: str, count: int = 0) -> Iterator[str]:
    r"""The pieces of `text` with matches replaced; `\1`, `\g<1>` and `\g<name>` in `replacement` are groups.
    `count`: at most so many, 0 for all."""
    pieces = _pieces(program, replacement)
    end = 0
    for done, match in enumerate(program.matches(text), start=1):
        yield text[end : match[0]]
        for piece in pieces:
            yield piece if isinstance(piece, str) else text[max(match[2 * piece], 0) : max(match[2 * piece + 1], 0)]
        end = match[1]
        if done == count:
            break
    yield text[end:]


def _pieces(program: Program, replacement: str) -> list[str | int]:
    pieces: list[str | int] = []
    end = 0
    for found in re.finditer(r"\\(?:(\d{1,2})|g<(\w+)>|(\\))", replacement):
        pieces.append(replacement[end : found.start()])
        if found[3]:
            pieces.append("\\")
        else:
            name = found[1] or found[2]
            pieces.append(program.group(int(name) if name.isdecimal() else name))
        end = found.end()
    return [*pieces, replacement[end:]]
