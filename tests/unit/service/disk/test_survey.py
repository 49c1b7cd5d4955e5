"""What files make of deployments: pure, so that every case costs a line."""

from __future__ import annotations

from typing import Any

from agentctl.model import Definition
from agentctl.ports import Deployment, StoredDefinition
from agentctl.service.disk.scan import Reading, changes

HERE, ELSEWHERE = "..", "../../elsewhere"


def good(file: str, name: str = "health", version: str = "v1", kind: str = "loop") -> Reading:
    definition = Definition(kind=kind, name=name, steps=())
    return Reading(file=file, kind=kind, name=name, stored=StoredDefinition(version, definition, "", file))


def bad(file: str, name: str = "health", problem: str = "it is broken") -> Reading:
    return Reading(file=file, kind="loop" if name else "", name=name, problem=problem)


def deployed(file: str = "a.yaml", name: str = "health", version: str = "v1", **more: Any) -> Deployment:
    return Deployment(name=name, kind="loop", file=file, version=version, **{"deployed_at": 1.0, "root": HERE, **more})


def after(readings: list[Reading], *before: Deployment) -> dict[str, Deployment]:
    return {found.name: found for found in changes({one.name: one for one in before}, readings, 9.0, HERE, {"no-more"})}


def test_a_new_file_is_deployed_now() -> None:
    assert after([good("a.yaml")]) == {"health": deployed(deployed_at=9.0)}


def test_a_file_that_is_as_it_was_changes_nothing() -> None:
    assert after([good("a.yaml")], deployed()) == {}


def test_an_edit_is_another_version_from_now_on_and_stays_paused() -> None:
    assert after([good("a.yaml", version="v2")], deployed(paused_at=5.0)) == {
        "health": deployed(version="v2", deployed_at=9.0, paused_at=5.0)
    }


def test_an_invalid_edit_keeps_the_last_good_version_and_says_why() -> None:
    assert after([bad("a.yaml")], deployed()) == {"health": deployed(problem="it is broken")}


def test_a_file_that_is_mended_without_another_version_was_deployed_when_it_was() -> None:
    assert after([good("a.yaml")], deployed(problem="it is broken")) == {"health": deployed()}


def test_a_file_so_broken_that_it_has_no_name_stands_for_what_was_deployed_from_it() -> None:
    assert after([bad("a.yaml", name="")], deployed()) == {"health": deployed(problem="it is broken")}


def test_a_name_that_is_edited_in_a_file_that_cannot_be_used_is_not_yet_another_definition() -> None:
    assert after([bad("a.yaml", name="healt")], deployed()) == {"health": deployed(problem="it is broken")}


def test_a_file_that_was_never_good_is_deployed_without_a_version() -> None:
    assert after([bad("a.yaml")]) == {"health": deployed(version="", deployed_at=9.0, problem="it is broken")}


def test_a_file_that_is_no_definition_is_nothing() -> None:
    assert after([bad("notes.yaml", name="")]) == {}


def test_a_file_that_disappears_leaves_its_deployment_gone_once() -> None:
    assert after([], deployed(problem="it is broken")) == {"health": deployed(gone=True)}
    assert after([], deployed(gone=True)) == {}


def test_a_file_that_comes_back_is_deployed_anew() -> None:
    assert after([good("a.yaml")], deployed(gone=True)) == {"health": deployed(deployed_at=9.0)}


def test_a_file_that_is_renamed_is_the_same_deployment() -> None:
    assert after([good("b.yaml")], deployed()) == {"health": deployed(file="b.yaml")}


def test_a_definition_that_is_renamed_is_another_and_the_old_one_is_gone() -> None:
    assert after([good("a.yaml", name="pulse", version="v2")], deployed()) == {
        "health": deployed(gone=True),
        "pulse": deployed(name="pulse", version="v2", deployed_at=9.0),
    }


def test_of_two_files_with_one_name_the_first_counts_and_the_other_is_told() -> None:
    [found] = after([good("a.yaml"), good("b.yaml", version="v2")]).values()
    assert (found.file, found.version) == ("a.yaml", "v1")
    assert found.problem == "b.yaml: defines 'health' as well, and is not used: a.yaml is"


def test_a_copy_does_not_take_the_place_of_what_is_deployed_though_it_sorts_before_it() -> None:
    [found] = after([good("a-copy.yaml", version="v2"), good("a.yaml")], deployed()).values()
    assert (found.file, found.version) == ("a.yaml", "v1")


def test_of_two_files_with_one_name_a_good_one_is_deployed_first() -> None:
    [found] = after([bad("a.yaml"), good("b.yaml")]).values()
    assert (found.file, found.version) == ("b.yaml", "v1")


def test_what_is_deployed_is_not_taken_over_by_a_copy_while_its_own_file_is_broken() -> None:
    [found] = after([bad("a.yaml"), good("b.yaml", version="v2")], deployed()).values()
    assert (found.file, found.version, found.problem) == ("a.yaml", "v1", "it is broken")


def test_the_copy_is_deployed_when_the_first_file_disappears() -> None:
    assert after([good("b.yaml", version="v2")], deployed()) == {
        "health": deployed(file="b.yaml", version="v2", deployed_at=9.0)
    }


def test_a_loop_may_become_a_skill() -> None:
    [found] = after([good("a.yaml", version="v2", kind="skill")], deployed()).values()
    assert found.kind == "skill"


def test_files_tell_nothing_of_what_is_deployed_from_elsewhere() -> None:
    assert after([], deployed(root=ELSEWHERE)) == {}
    assert after([bad("a.yaml", name="")], deployed(root=ELSEWHERE)) == {}


def test_a_name_that_is_deployed_from_elsewhere_is_taken_over_and_stays_paused() -> None:
    assert after([good("b.yaml")], deployed(root=ELSEWHERE, paused_at=5.0)) == {"health": deployed("b.yaml", paused_at=5.0)}


def test_what_was_deployed_from_a_folder_that_is_no_more_is_judged_by_the_next() -> None:
    assert after([], deployed(root="no-more")) == {"health": deployed(gone=True, root="no-more")}
    assert after([good("a.yaml")], deployed(root="no-more")) == {"health": deployed()}
