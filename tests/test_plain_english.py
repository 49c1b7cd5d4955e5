"""What people read uses the field's terms: no banned word in help, messages, docs and the changelog."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    *sorted(REPOSITORY.glob("docs/*.md")),
    *sorted(REPOSITORY.glob("examples/*/README.md")),
]
# word -> what to write instead
BANNED = {
    r"(is|are|was|were|be|been) told": "is reported, prints, logs",
    r"tells? (you|people) ": "reports, prints",
    r"mend(s|ed|ing)?": "fix",
    r"go(es)? on( with)?": "continues, resumes",
    r"ends well": "succeeds",
    r"ended so": "terminal",
    r"anew": "again",
    r"once more": "again",
    r"stand(s|ing)? in (the )?line": "waits in the queue",
    r"nobody's": "is ignored",
    r"heirs?": "new owner",
}
BANNED_WORDS = re.compile(rf"\b({'|'.join(BANNED)})\b", re.IGNORECASE)


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the string literals of a module with their lines, without docstrings; of commands, docstrings are help and count."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    is_command = file.parent.name == "commands"
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
        if not (is_command and isinstance(node, ast.FunctionDef) and not node.name.startswith("_"))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_uses_the_terms_of_the_field(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [(number, line) for number, line in enumerate(lines, start=1) if BANNED_WORDS.search(line)] == []


def test_help_and_messages_use_the_terms_of_the_field() -> None:
    found = [
        f"{file.relative_to(REPOSITORY)}:{line}: {text[:100]}"
        for file in sorted((REPOSITORY / "agentctl").rglob("*.py"))
        for line, text in texts(file)
        if BANNED_WORDS.search(text)
    ]
    assert found == []
