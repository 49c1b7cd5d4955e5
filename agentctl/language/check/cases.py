"""A test file against the definition that it is for: does that exist, does it take the inputs, does every path mean a step?"""

from __future__ import annotations

from pathlib import Path

from agentctl import JSON, model, spec
from agentctl.errors import DefinitionInvalid, InputInvalid, NotFound
from agentctl.language.cases import Case, CaseFile
from agentctl.language.catalog import Catalog
from agentctl.language.inputs import check_inputs
from agentctl.language.load import Loaded, load
from agentctl.language.project.project import Project, find
from agentctl.language.step_paths import NoSuchStep, step_at
from agentctl.language.yaml.tree import Path as KeyPath


class Definitions:
    """Definitions of one project, each read once."""

    def __init__(self, project: Project) -> None:
        self._catalog = Catalog(project)
        self._read: dict[Path, Loaded] = {}

    def read(self, file: Path) -> Loaded:
        """Raises DefinitionInvalid, NotFound."""
        if file not in self._read:
            self._read[file] = load(file, self._catalog)
        return self._read[file]

    def skill(self, name: str) -> Loaded:
        """Raises DefinitionInvalid, NotFound."""
        return self.read(self._catalog.path(name))


def definition_of(found: CaseFile, path: Path) -> tuple[Project, Definitions, Loaded] | None:
    """What `test: NAME` names: a definition of the project around the test file, or a file as seen from it.

    None, and a problem is reported, when it cannot be used.
    """
    name, place = found.definition, found.source.at(("test",))
    try:
        project, file = _file(name, path.absolute())
        definitions = Definitions(project)
        return project, definitions, definitions.read(file)
    except NotFound as error:
        found.source.report(place, "unknown-definition", str(error))
    except DefinitionInvalid as error:
        found.source.report(place, "invalid-definition", f"'{name}' cannot be run: {_first(error)}")
    return None


def _file(name: str, path: Path) -> tuple[Project, Path]:
    if not name.endswith((".yaml", ".yml")):
        project = find(path.parent)
        return project, Catalog(project).path(name)
    file = (path.parent / name).resolve()
    if not file.is_file():
        raise NotFound(f"there is no file {name} as seen from {path.name}")
    return find(file), file


def _first(error: DefinitionInvalid) -> object:
    return next((problem for problem in error.problems if problem.severity == "error"), error)


def check_case(found: CaseFile, case: Case, definition: model.Definition, definitions: Definitions) -> dict[str, JSON]:
    """The case's input with defaults filled in. What does not fit is reported, and then the input is of no use."""
    _check_paths(found, case, definition, definitions)
    try:
        return check_inputs(definition, case.input)
    except InputInvalid as error:
        found.source.report(place_of(found, case, "input"), "wrong-input", str(error))
        return {}


def place_of(found: CaseFile, case: Case, key: str) -> tuple[int, int]:
    """Where a key stands that the case has itself or shares with the file's other cases; the case, if it has none."""
    for at in (case.at, ()):
        data = found.source.data if not at else found.source.data["cases"][at[-1]]
        if key in data:
            return found.source.at((*at, key))
    return found.source.at(case.at)


def _check_paths(found: CaseFile, case: Case, definition: model.Definition, definitions: Definitions) -> None:
    """Every path of the case means a step; those of mocks, one that a mock can stand for."""
    source = found.source

    def check(path: str, at: KeyPath) -> model.Step | None:
        return _step(found, definition, definitions, path, at)

    for mock in case.mocks:
        step = check(mock.path, mock.at)
        if step is not None and not _is_mockable(step):
            message = f"step '{mock.path}' ({step.uses}) is always really run; only steps that act on the world are mocked"
            source.report(source.at(mock.at), "wrong-value", message)
    expect: KeyPath = (*case.at, "expect")
    for path in case.expect.get("steps", ()):
        check(path, (*expect, "steps", path))
    for index, path in enumerate(case.expect.get("order", ())):
        check(path, (*expect, "order", index))
    for key, kind in (("approvals", "approve"), ("resolve", None)):
        for index, answer in enumerate(getattr(case, key)):
            at = (*case.at, key, index, "step")
            step = check(answer.written["step"], at)
            if step is not None and kind is not None and step.uses not in (kind, "agent"):
                source.report(source.at(at), "wrong-value", f"step '{answer.written['step']}' is no {kind} step but {step.uses}")


def _step(found: CaseFile, definition: model.Definition, definitions: Definitions, path: str, at: KeyPath) -> model.Step | None:
    place = found.source.at(at)
    try:
        return step_at(definition, path, lambda name: definitions.skill(name).definition)
    except (NoSuchStep, NotFound) as error:
        found.source.report(place, "unknown-step", str(error))
    except DefinitionInvalid as error:
        message = f"a skill on the way of '{path}' cannot be run: {_first(error)}"
        found.source.report(place, "invalid-definition", message)
    return None


def _is_mockable(step: model.Step) -> bool:
    if isinstance(step.action, model.Wait):
        return step.action.run is not None
    known = spec.action(step.uses)
    return known is not None and known.is_mockable
