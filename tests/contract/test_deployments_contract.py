"""What every Store promises of deployments, their event triggers, and pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from agentctl.errors import NotFound
from agentctl.ports import Deployment, SeenFile, Store


def do(*steps: Callable[[], Awaitable[Any]]) -> None:
    async def all_of_them() -> None:
        for step in steps:
            await step()

    asyncio.run(all_of_them())


def deployment(name: str = "health", **more: Any) -> Deployment:
    told = {"kind": "loop", "file": f"loops/{name}.yaml", "version": "v1", "deployed_at": 1.0, **more}
    return Deployment(name=name, **told)


def subscribed(store: Store, event: str) -> list[tuple[str, str, int]]:
    return [(found.name, found.version, found.trigger) for found in store.subscriptions(event)]


def test_nothing_is_deployed_in_a_new_store(store: Store) -> None:
    assert store.deployments() == []
    assert store.subscriptions("order.paid") == []


def test_what_is_deployed_comes_back_by_name_and_another_process_sees_it(open_one: Callable[[], Store]) -> None:
    one = deployment("triage", kind="skill", problem="skills/triage.yaml:3:1: error[unknown-key]: no 'stpes'")
    two = deployment("health", gone=True)
    do(lambda: open_one().deploy([one, two], {}))
    assert open_one().deployments() == [two, one]


def test_a_deployment_takes_the_place_of_the_one_before_with_its_triggers(store: Store) -> None:
    do(
        lambda: store.deploy([deployment()], {"health": ["", "order.paid", "order.refused"]}),
        lambda: store.deploy([deployment(version="v2", file="loops/other.yaml")], {"health": ["order.paid"]}),
    )
    assert store.deployments() == [deployment(version="v2", file="loops/other.yaml")]
    assert subscribed(store, "order.paid") == [("health", "v2", 0)]
    assert subscribed(store, "order.refused") == []


def test_a_deployment_leaves_those_of_other_names_alone(store: Store) -> None:
    do(
        lambda: store.deploy([deployment("a"), deployment("b")], {"a": ["order.paid"], "b": ["order.paid"]}),
        lambda: store.deploy([deployment("b", version="v2")], {"b": []}),
    )
    assert subscribed(store, "order.paid") == [("a", "v1", 0)]


@pytest.mark.parametrize(
    ("pattern", "event", "matches"),
    [
        ("order.paid", "order.paid", True),
        ("order.paid", "order.paid.twice", False),
        ("order.paid", "order", False),
        ("order.*", "order.paid", True),
        ("order.*", "order.paid.twice", False),
        ("*.paid", "order.paid", True),
        ("*.*", "order.paid", True),
        ("*", "order.paid", False),
        ("*", "order", True),
        ("order.*.sent", "order.7.sent", True),
        ("order.*.sent", "order.7.lost", False),
        ("order.p*", "order.paid", False),
    ],
)
def test_a_star_in_an_event_trigger_matches_one_dotted_part(store: Store, pattern: str, event: str, matches: bool) -> None:
    do(lambda: store.deploy([deployment()], {"health": [pattern]}))
    assert subscribed(store, event) == ([("health", "v1", 0)] if matches else [])


def test_every_trigger_that_matches_is_told_by_name_and_number(store: Store) -> None:
    do(
        lambda: store.deploy(
            [deployment("b"), deployment("a")], {"b": ["order.*", "", "order.paid", "*.paid"], "a": ["x", "order.paid"]}
        )
    )
    assert subscribed(store, "order.paid") == [("a", "v1", 1), ("b", "v1", 0), ("b", "v1", 2), ("b", "v1", 3)]


def test_what_is_gone_subscribes_to_nothing(store: Store) -> None:
    do(lambda: store.deploy([deployment(gone=True)], {"health": ["order.paid"]}))
    assert subscribed(store, "order.paid") == []


def test_a_file_with_a_problem_leaves_its_last_good_version_subscribed(store: Store) -> None:
    do(lambda: store.deploy([deployment(problem="it is broken")], {"health": ["order.paid"]}))
    assert subscribed(store, "order.paid") == [("health", "v1", 0)]


def test_a_paused_definition_subscribes_to_nothing_until_it_is_unpaused(store: Store) -> None:
    do(lambda: store.deploy([deployment()], {"health": ["order.paid"]}), lambda: store.pause("health", 5.0))
    assert (store.deployments()[0].paused_at, subscribed(store, "order.paid")) == (5.0, [])
    do(lambda: store.unpause("health", 6.0))
    assert (store.deployments()[0].paused_at, subscribed(store, "order.paid")) == (None, [("health", "v1", 0)])


def test_a_deploy_does_not_end_a_pause(store: Store) -> None:
    do(
        lambda: store.deploy([deployment()], {}),
        lambda: store.pause("health", 5.0),
        lambda: store.deploy([deployment(version="v2")], {"health": ["order.paid"]}),
    )
    assert store.deployments() == [msgspec.structs.replace(deployment(version="v2"), paused_at=5.0)]
    assert subscribed(store, "order.paid") == []


def test_paused_twice_is_paused_since_the_first_time(store: Store) -> None:
    do(lambda: store.deploy([deployment()], {}), lambda: store.pause("health", 5.0), lambda: store.pause("health", 9.0))
    assert store.deployments()[0].paused_at == 5.0


def test_what_was_never_deployed_cannot_be_paused(store: Store) -> None:
    with pytest.raises(NotFound, match="'helth'"):
        do(lambda: store.pause("helth", 5.0))


def test_files_that_were_dealt_with_are_kept_for_each_definition_until_they_are_forgotten(open_one: Callable[[], Store]) -> None:
    store = open_one()
    old, new, other = SeenFile("a.json", "1 1", "x"), SeenFile("a.json", "2 2", "y"), SeenFile("b.json", "1 1", "x")
    do(
        lambda: store.mark_files_seen("importer", [old, other]),
        lambda: store.mark_files_seen("importer", [new]),
        lambda: store.mark_files_seen("witness", [old]),
    )
    assert open_one().seen_files("importer") == {"a.json": new, "b.json": other}
    do(lambda: store.mark_files_seen("importer", [], ["a.json", "unknown.json"]))
    assert open_one().seen_files("importer") == {"b.json": other}
    assert open_one().seen_files("witness") == {"a.json": old}
