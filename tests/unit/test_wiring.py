"""The real parts together: YAML on disk, SQLite, real actions."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentctl import wiring
from agentctl.errors import NotFound
from agentctl.language.catalog import Catalog
from agentctl.language.project import project as projects

LOOP = """
loop: greet
input: {name: {type: string, default: you}}
steps:
  - id: ask
    skill: shout
    with: {text: "hello ${{ input.name }}"}
"""
SKILL = """
skill: shout
input: {text: {type: string}}
steps:
  - id: say
    shell: [printf, "%s!", "${{ input.text }}"]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {"loops/greet.yaml": LOOP, "skills/shout.yaml": SKILL}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    (tmp_path / "agentctl.yaml").write_text("vars: {}\n")
    return tmp_path


def run(root: Path, input: dict[str, Any]) -> Any:
    async def drive() -> Any:
        project = projects.find(root)
        store = wiring.open_store(project.store_path)
        try:
            catalog = Catalog(project)
            engine = wiring.build_engine(project, store)
            stored, _ = wiring.load_definition(store, catalog, catalog.path("greet"))
            return await engine.drive(await engine.create(stored, input))
        finally:
            store.close()

    return asyncio.run(drive())


def test_a_loop_calls_a_skill_that_runs_a_program(root: Path) -> None:
    row = run(root, {"name": "world"})
    assert (row.status, row.output) == ("succeeded", "hello world!")


def test_a_definition_that_the_store_knows_is_not_parsed_again(root: Path) -> None:
    run(root, {"name": "a"})
    code = f"""
import json, sys
from pathlib import Path
from agentctl import wiring
from agentctl.language.catalog import Catalog
from agentctl.language.project.project import Project
root = Path({str(root)!r})
project = Project(root=root, store_path=root / ".agentctl/agentctl.db")
store = wiring.open_store(project.store_path, read_only=True)
catalog = Catalog(project)
assert wiring.known_definition(store, catalog, catalog.path("greet")).definition.name == "greet"
store.close()
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(wiring.__file__).parent.parent)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert loaded.isdisjoint({"ruamel", "jsonschema", "jinja2", "litellm", "httpx2"})


def test_an_edited_file_and_a_missing_skill_are_looked_at_anew(root: Path) -> None:
    run(root, {"name": "a"})
    project = projects.find(root)
    store = wiring.open_store(project.store_path, read_only=True)
    path = root / "loops/greet.yaml"
    try:
        assert wiring.known_definition(store, Catalog(project), path) is not None
        (root / "skills/shout.yaml").unlink()
        assert wiring.known_definition(store, Catalog(project), path) is None
        path.write_text(LOOP + "# edited\n")
        assert wiring.known_definition(store, Catalog(project), path) is None
        with pytest.raises(NotFound):
            wiring.skill_loader(store, Catalog(project))("shout")
    finally:
        store.close()
