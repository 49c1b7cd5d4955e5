"""Where a project begins, what its file says, and which definitions it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agentctl.errors import DefinitionInvalid, NotFound, UsageError
from agentctl.language.catalog import Catalog
from agentctl.language.load import check, load
from agentctl.language.project import cache
from agentctl.language.project import file as project_file
from agentctl.language.project.project import find

Write = Callable[..., Path]


def test_the_project_file_marks_the_root(write: Write, tmp_path: Path) -> None:
    write(
        "models: {default: openai/x, local: {model: ollama/q, api_base: 'http://localhost:1'}}\nvars: {a: [1]}\n", "agentctl.yaml"
    )
    loop = write("loop: x\nsteps: [{shell: x}]\n", "deep/loops/x.yaml")
    project = find(loop, environment={})
    assert project.root == tmp_path
    assert project.file == tmp_path / "agentctl.yaml"
    assert project.store_path == tmp_path / ".agentctl/agentctl.db"
    assert project.models == {"default": {"model": "openai/x"}, "local": {"model": "ollama/q", "api_base": "http://localhost:1"}}
    assert project.vars == {"a": [1]}
    assert project.secrets_from == ("env", "credentials")


def test_without_a_project_file_the_nearest_folder_with_loops_is_the_root(write: Write, tmp_path: Path) -> None:
    loop = write("loop: x\n", "a/loops/x.yaml")
    assert find(loop, environment={}).root == tmp_path / "a"
    assert find(tmp_path / "a", environment={}).root == tmp_path / "a"


def test_a_lone_file_has_its_own_folder_as_root(write: Write, tmp_path: Path) -> None:
    assert find(write("loop: x\n", "b/x.yaml"), environment={}).root == tmp_path / "b"


def test_the_store_is_the_argument_then_the_environment_then_the_file(write: Write, tmp_path: Path) -> None:
    write("store: data/runs.db\n", "agentctl.yaml")
    environment = {"AGENTCTL_DB": str(tmp_path / "env.db")}
    assert find(tmp_path, db=tmp_path / "arg.db", environment=environment).store_path == tmp_path / "arg.db"
    assert find(tmp_path, environment=environment).store_path == tmp_path / "env.db"
    assert find(tmp_path, environment={}).store_path == tmp_path / "data/runs.db"


def test_a_path_that_no_store_can_hold_is_told(tmp_path: Path) -> None:
    odd = tmp_path / "caf\udce9"
    (odd / "loops").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"caf\\udce9' has characters that are no UTF-8"):
        find(odd, environment={})
    with pytest.raises(UsageError, match="no UTF-8"):
        find(tmp_path, db="\udcff.db")


def test_an_empty_project_file_is_fine(write: Write, tmp_path: Path) -> None:
    write("# nothing yet\n", "agentctl.yaml")
    assert find(tmp_path, environment={}).vars == {}


def test_a_project_file_is_parsed_once_as_long_as_it_stays_as_it_is(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".agentctl").mkdir()
    file = write("vars: {a: 1, b: [1.0, null, ü]}\n", "agentctl.yaml")
    first = find(tmp_path, environment={})
    monkeypatch.setattr(project_file, "read_file", _not_again)
    assert find(tmp_path, environment={}) == first
    file.write_text("vars: {a: 2}\n")
    with pytest.raises(AssertionError, match="again"):
        find(tmp_path, environment={})
    monkeypatch.undo()
    assert find(tmp_path, environment={}).vars == {"a": 2}


def _not_again(file: Path) -> None:
    raise AssertionError("parsed again")


def test_what_is_kept_of_a_project_file_may_be_damaged_and_cannot_be_made_where_no_store_is(write: Write, tmp_path: Path) -> None:
    write("vars: {a: 1}\n", "agentctl.yaml")
    assert find(tmp_path, environment={}).vars == {"a": 1}
    assert not (tmp_path / ".agentctl").exists()
    (tmp_path / ".agentctl").mkdir()
    (tmp_path / ".agentctl" / cache.NAME).write_text('{"digest": "')
    assert find(tmp_path, environment={}).vars == {"a": 1}


def test_a_project_file_with_mistakes_is_never_kept(write: Write, tmp_path: Path) -> None:
    (tmp_path / ".agentctl").mkdir()
    write("modles: {}\n", "agentctl.yaml")
    for _ in range(2):
        with pytest.raises(DefinitionInvalid):
            find(tmp_path, environment={})


@pytest.mark.parametrize(
    ("text", "line", "column", "code", "word"),
    [
        ("modles: {}", 1, 1, "unknown-key", "did you mean 'models'?"),
        ("store: [a]", 1, 1, "wrong-type", "path"),
        ("vars: [a]", 1, 1, "wrong-type", "mapping"),
        ("models:\n  local: {api_base: x}", 2, 3, "missing-key", "'model'"),
        ("models:\n  local: 5", 2, 3, "wrong-type", "'local'"),
        ("models:\n  a: {model: x/y, price: {input: 1}}", 2, 19, "wrong-value", "per million tokens"),
        ("models:\n  a: {model: x/y, price: {input: 1, output: -1}}", 2, 37, "wrong-value", "per million tokens"),
        ("models:\n  a: {model: x/y, context: 0}", 2, 19, "wrong-value", "above 0"),
        ("models:\n  a: {model: x/y, stream: maybe}", 2, 19, "wrong-value", "true or false"),
        ("models:\n  a: {model: x/y, tool_calls: often}", 2, 19, "wrong-value", "native or schema"),
        ("models:\n  a: {model: '${{ vars.x }}'}", 2, 7, "expression", "name of a model"),
        ("models:\n  a: {model: x/y, api_key: '${{ vars.x }}'}", 2, 29, "expression", "only secrets"),
        ("secrets: {from: [evn]}", 1, 18, "wrong-value", "did you mean 'env'?"),
        ("secrets: {from: 5}", 1, 11, "wrong-type", "list"),
        ("policy: {agents: {publish: revew}}", 1, 19, "wrong-value", "did you mean 'review'?"),
        ("policy: {http: {deny: [host]}}", 1, 24, "wrong-value", "networks"),
        ("policy: {http: {deny: [10.0.0.0/8, 169.254.0.0/33]}}", 1, 36, "wrong-value", "169.254.0.0/33"),
        ("policy: {http: {deny: [5]}}", 1, 24, "wrong-value", "networks"),
        ("policy: {http: {dney: []}}", 1, 17, "unknown-key", "did you mean 'deny'?"),
        ("a: [1", 1, 4, "yaml-syntax", "not closed"),
        ("- a", 1, 1, "wrong-type", "mapping"),
    ],
)
def test_a_mistake_in_the_project_file_is_told_at_its_place(
    write: Write, tmp_path: Path, text: str, line: int, column: int, code: str, word: str
) -> None:
    write(text + "\n", "agentctl.yaml")
    with pytest.raises(DefinitionInvalid) as raised:
        find(tmp_path, environment={})
    [problem] = raised.value.problems
    assert (problem.line, problem.column, problem.code) == (line, column, code)
    assert word in problem.message


@pytest.fixture
def catalog(write: Write, tmp_path: Path) -> Catalog:
    write("vars: {channel: x}\n", "agentctl.yaml")
    write(
        "# a comment\ndescription: x\nskill: triage\ninput: {host: {type: string}, depth: {default: 1}}\nsteps: [{shell: x}]\n",
        "skills/a/t.yaml",
    )
    write('loop: "health"  # the heart\nsteps: [{shell: x}]\n', "loops/health.yaml")
    write("nothing: here\n", "loops/other.yaml")
    return Catalog(find(tmp_path, environment={}))


def test_definitions_are_found_by_the_name_in_their_head(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.names() == ["health", "triage"]
    assert catalog.names("skill") == ["triage"]
    assert catalog.path("triage") == tmp_path / "skills/a/t.yaml"
    assert catalog.kind("health") == "loop"


def test_folders_that_are_links_are_followed_each_once_and_what_is_hidden_is_not(
    write: Write, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far.yaml").write_text("loop: far\nsteps: [{shell: x}]\n")
    write("loop: near\nsteps: [{shell: x}]\n", "loops/near.yaml")
    write("loop: draft\nsteps: [{shell: x}]\n", "loops/.draft.yaml")
    write("loop: old\nsteps: [{shell: x}]\n", "loops/.old/old.yaml")
    (tmp_path / "loops/team").symlink_to(elsewhere)
    (tmp_path / "loops/circle").symlink_to("../loops")
    (tmp_path / "loops/nowhere.yaml").symlink_to("nothing")
    catalog = Catalog(find(tmp_path, environment={}))
    assert catalog.names() == ["far", "near"]
    assert [len(catalog.files(name)) for name in catalog.names()] == [1, 1]


def test_an_unknown_name_is_not_found_with_the_nearest(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="did you mean 'health'"):
        catalog.path("helth")


@pytest.mark.parametrize(
    ("step", "code", "word"),
    [
        ("{skill: triag, with: {host: a}}", "unknown-skill", "did you mean 'triage'?"),
        ("{skill: health}", "unknown-skill", "is a loop"),
        ("{skill: triage}", "skill-argument", "needs the input 'host'"),
        ("{skill: triage, with: {host: a, dept: 2}}", "skill-argument", "did you mean 'depth'?"),
        ("{agent: {goal: x, tools: [{skill: triagee}]}}", "unknown-skill", "did you mean 'triage'?"),
        ("{set: {a: '${{ vars.chanel }}'}}", "unknown-var", "did you mean 'channel'?"),
    ],
)
def test_a_call_is_checked_against_the_project(write: Write, catalog: Catalog, step: str, code: str, word: str) -> None:
    [problem] = check(write(f"loop: y\nsteps:\n- {step}\n", "loops/y.yaml"), catalog)
    assert (problem.code, word in problem.message, problem.line) == (code, True, 3)
    assert problem.file == "loops/y.yaml"


def test_a_good_call_is_taken(write: Write, catalog: Catalog) -> None:
    assert load(write("loop: y\nsteps: [{skill: triage, with: {host: a}}]\n", "loops/y.yaml"), catalog).file == "loops/y.yaml"


def test_two_files_of_one_name_are_a_warning(write: Write, catalog: Catalog) -> None:
    path = write("loop: health\nsteps: [{shell: x}]\n", "loops/second.yaml")
    [problem] = check(path, catalog)
    assert (problem.severity, problem.code, problem.message) == (
        "warning",
        "name-taken",
        "loops/health.yaml defines 'health' as well",
    )


@pytest.mark.parametrize(
    "text",
    [
        "loop: x\nsteps: [{set: {a: 1}}]\n",
        "\ufeffloop: x\nsteps: [{set: {a: 1}}]\n",
        "# a comment\n\n---\nloop: x # the name\r\nsteps: [{set: {a: 1}}]\n",
        '"loop": "x"\nsteps: [{set: {a: 1}}]\n',
        "loop: &name x\nsteps: [{set: {a: 1}}]\n",
        "loop: !!str x\nsteps: [{set: {a: 1}}]\n",
        '{"steps": [{"set": {"a": 1}}], "loop": "x"}',
        "steps:\n- set:\n    a: |\n      loop: y\nloop: x\n",
        "description: " + "long " * 2000 + "\nloop: x\nsteps: [{set: {a: 1}}]\n",
        "? loop\n: x\n? steps\n: [{set: {a: 1}}]\n",
        "defaults: {timeout: 1m}\n? 'loop'\n: >-\n  x\nsteps: [{set: {a: 1}}]\n",
    ],
)
@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_definition_is_found_by_what_its_yaml_says_however_it_is_written(
    write: Write, tmp_path: Path, text: str, suffix: str
) -> None:
    file = write(text, f"loops/some{suffix}")
    catalog = Catalog(find(tmp_path, environment={}))
    assert catalog.names("loop") == ["x"]
    assert catalog.path("x") == file
    assert load(file, catalog).definition.name == "x"


def test_the_text_of_a_script_names_no_definition(write: Write, tmp_path: Path) -> None:
    write("description: |\n loop: y\nskill: z\nsteps:\n- shell: |\n    cat <<E\n    loop: w\n    E\n", "skills/z.yaml")
    write("test: x\ncases: []\nloop: v\n", "loops/x.test.yml")
    assert Catalog(find(tmp_path, environment={})).names() == ["z"]


def test_a_file_that_is_not_yaml_keeps_its_name_so_that_its_mistake_can_be_told(write: Write, tmp_path: Path) -> None:
    write("description: [\nloop: x\nsteps: 1\n", "loops/x.yaml")
    assert Catalog(find(tmp_path, environment={})).names() == ["x"]


def test_the_project_file_may_end_in_yml(write: Write, tmp_path: Path) -> None:
    file = write("vars: {a: 1}\n", "agentctl.yml")
    loop = write("loop: x\nsteps: [{shell: x}]\n", "loops/x.yml")
    project = find(loop, environment={})
    assert (project.root, project.file, project.vars) == (tmp_path, file, {"a": 1})
    write("vars: {a: 2}\n", "agentctl.yaml")
    with pytest.raises(UsageError, match=r"both agentctl.yaml and agentctl.yml"):
        find(loop, environment={})


def test_the_project_file_names_a_time_zone(write: Write, tmp_path: Path) -> None:
    file = write("timezone: Europe/Berlin\n", "agentctl.yaml")
    assert find(tmp_path, environment={}).timezone == "Europe/Berlin"
    file.write_text("timezone: Berlin\n")
    with pytest.raises(DefinitionInvalid, match="did you mean 'Europe/Berlin'"):
        find(tmp_path, environment={})
