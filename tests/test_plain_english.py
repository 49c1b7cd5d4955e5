"""What people read uses the field's terms: no banned word in help, messages, docs, docstrings and comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
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
    r"told": "is reported, prints, logs",
    r"tells": "reports, prints",
    r"mend(s|ed|ing)?": "fix",
    r"(go(es)?|going|went|gone) on": "continues, resumes",
    r"end(s|ed) well": "succeeds",
    r"ended so": "terminal",
    r"anew": "again",
    r"once more": "again",
    r"stand(s|ing)? in (the )?line": "waits in the queue",
    r"nobody's": "is ignored",
    r"heirs?": "new owner",
    r"for the time being": "at the moment",
    r"LANGUAGE section": "a page in docs/",
}
BANNED_WORDS = re.compile(rf"\b({'|'.join(BANNED)})\b", re.IGNORECASE)


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module, docstrings included, and its comments, each with its line."""
    source = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from enumerate(node.value.splitlines(), node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_uses_the_terms_of_the_field(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [(number, line) for number, line in enumerate(lines, start=1) if BANNED_WORDS.search(line)] == []


def test_messages_docstrings_and_comments_use_the_terms_of_the_field() -> None:
    found = [
        f"{file.relative_to(REPOSITORY)}:{line}: {text[:100]}"
        for file in sorted((REPOSITORY / "agentctl").rglob("*.py"))
        for line, text in texts(file)
        if BANNED_WORDS.search(text)
    ]
    assert found == []
