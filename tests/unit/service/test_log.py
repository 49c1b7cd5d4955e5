"""The log of the service: lines for people, lines for the journal of systemd."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentctl.service.log import begin_log

log = logging.getLogger("agentctl.service.some")


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """Begin a log, call what logs, and return the lines."""
    before = logging.getLogger().handlers[:], logging.getLogger().level, logging.getLogger("agentctl").level
    file = (tmp_path / "log").open("w")

    def written(tell: Callable[[], object], *, journal: bool = False, level: str = "info") -> list[str]:
        status = os.fstat(file.fileno())
        inode = status.st_ino if journal else status.st_ino + 1
        begin_log(level, {"JOURNAL_STREAM": f"{status.st_dev}:{inode}"}, file)
        tell()
        file.flush()
        return (tmp_path / "log").read_text().splitlines()

    yield written
    file.close()
    logging.getLogger().handlers[:], root, ours = before
    logging.getLogger().setLevel(root)
    logging.getLogger("agentctl").setLevel(ours)


def test_people_get_a_time_the_level_if_it_matters_and_the_message(lines) -> None:
    def tell() -> None:
        log.info("all is well")
        log.warning("mind the gap")

    first, second = lines(tell)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} all is well", first)
    assert second.endswith(" warning: mind the gap")


def test_the_journal_gets_a_priority_and_fields_on_every_line(lines) -> None:
    def tell() -> None:
        log.warning("run failed", extra={"fields": {"run": "abc", "error": 'a "b" = c\nd'}})
        try:
            raise ValueError("no")
        except ValueError:
            log.exception("a bug")

    found = lines(tell, journal=True)
    assert found[0] == '<4>run failed logger=agentctl.service.some run=abc error="a \\"b\\" = c d"'
    assert found[1].startswith("<3>a bug logger=")
    assert len(found) > 3
    assert all(line.startswith("<3>") for line in found[1:])


def test_a_message_can_forge_no_line_and_no_colour(lines) -> None:
    [line] = lines(lambda: log.error("loop \x1b[31mred\n<0>forged"), journal=True)
    assert line.startswith("<3>loop  [31mred <0>forged ")


def test_the_level_decides_what_is_told(lines) -> None:
    def tell() -> None:
        log.info("small talk")
        log.error("trouble")
        logging.getLogger("uvicorn").info("somebody else's small talk")

    assert [line.rpartition(" ")[2] for line in lines(tell, level="error")] == ["trouble"]
