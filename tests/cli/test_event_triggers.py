"""Events start runs from the command line, while no `agentctl serve` lives."""

from __future__ import annotations

import pytest

PAY = """
    loop: pay
    triggers:
      - event: payment.*
        if: event.data.order > 5
    input: {order: {type: integer}}
    steps:
      - set: {order: "${{ input.order }}", name: "${{ event.name }}", received: "${{ event.received_at }}"}
    on_failure:
      - set: {said: "${{ error.message }}"}
"""


@pytest.fixture
def send(agentctl):
    """`send(event, data)`: the document of `agentctl send`."""

    def send(*arguments: str):
        result = agentctl("send", *arguments, "--json")
        assert result.code == 0, result.err
        return result.json

    return send


def runs(agentctl, name: str) -> list[dict]:
    found = agentctl("history", "--json").json
    return [row for row in reversed(found) if row["loop"] == name]


def test_an_event_starts_a_run_that_resume_takes_on(agentctl, project):
    project.write("loops/pay.yaml", PAY)
    sent = agentctl("send", "payment.received", "-d", '{"order": 7}', "--json")
    assert sent.code == 0, sent.err
    [run_id] = sent.json["started"]
    assert (sent.json["duplicate"], sent.json["delivered"]) == (False, [])
    assert f"started run {run_id} of loop pay, queued" in sent.err
    assert "agentctl serve" in sent.err
    assert f"agentctl resume {run_id}" in sent.err
    [row] = runs(agentctl, "pay")
    assert (row["run_id"], row["status"], row["trigger"]) == (run_id, "queued", "event")
    ended = agentctl("resume", run_id, "--json").json
    assert (ended["status"], ended["output"]["order"], ended["output"]["name"]) == ("succeeded", 7, "payment.received")
    shown = agentctl("show", run_id, "--json").json["run"]
    assert shown["event"]["received_at"] == ended["output"]["received"]


def test_the_same_id_starts_no_second_run(project, send, agentctl):
    project.write("loops/pay.yaml", PAY)
    first = send("payment.received", "-d", '{"order": 7}', "--id", "p1")
    second = send("payment.received", "-d", '{"order": 8}', "--id", "p1")
    assert len(first["started"]) == 1
    assert (second["duplicate"], second["started"]) == (True, [])
    assert len(runs(agentctl, "pay")) == 1


@pytest.mark.parametrize(
    ("event", "data"),
    [("payment.received", '{"order": 5}'), ("payment.received", "{}"), ("payment.received.late", '{"order": 7}'), ("x", "{}")],
)
def test_an_event_that_does_not_fit_starts_nothing(project, send, agentctl, event, data):
    project.write("loops/pay.yaml", PAY)
    assert send(event, "-d", data)["started"] == []
    assert runs(agentctl, "pay") == []


def test_an_input_mapping_makes_the_input(project, send, agentctl):
    project.write(
        "loops/greet.yaml",
        """
        loop: greet
        triggers: [{event: user.joined, input: {who: "${{ event.data.user.name | upper }}"}}]
        input: {who: {type: string}, times: {type: integer, default: 2}}
        steps: [{set: {who: "${{ input.who }}", times: "${{ input.times }}"}}]
        """,
    )
    [run_id] = send("user.joined", "-d", '{"user": {"name": "ada"}, "times": 9}')["started"]
    assert agentctl("resume", run_id, "--json").json["output"] == {"who": "ADA", "times": 2}


def test_an_event_that_makes_no_valid_input_is_seen_to_fail(project, send, agentctl):
    project.write("loops/pay.yaml", PAY.replace("event.data.order > 5", "true"))
    [run_id] = send("payment.received", "-d", '{"order": "seven"}')["started"]
    ended = agentctl("resume", run_id, "--json")
    assert (ended.code, ended.json["error"]["type"]) == (1, "input.invalid")
    assert "'order' has to be a whole number" in ended.json["error"]["message"]
    steps = {step["path"]: step["status"] for step in agentctl("show", run_id, "--json").json["steps"]}
    assert steps == {"set_1": "not_run", "on_failure.set_1": "succeeded"}


def test_a_definition_that_was_edited_is_triggered_as_it_is_now(project, send, agentctl):
    project.write("loops/pay.yaml", PAY)
    assert send("payment.received", "-d", '{"order": 3}')["started"] == []
    project.write("loops/pay.yaml", PAY.replace("> 5", "> 2"))
    assert len(send("payment.received", "-d", '{"order": 3}')["started"]) == 1
    (project.root / "loops/pay.yaml").unlink()
    assert send("payment.received", "-d", '{"order": 9}')["started"] == []


def test_a_file_with_problems_keeps_its_last_good_version(project, send):
    project.write("loops/pay.yaml", PAY)
    send("nothing.much")
    project.write("loops/pay.yaml", PAY.replace("steps:", "stepz:"))
    assert len(send("payment.received", "-d", '{"order": 7}')["started"]) == 1


def test_a_loop_that_is_paused_is_not_started(project, send, agentctl):
    project.write("loops/pay.yaml", PAY)
    send("nothing.much")
    paused = agentctl("pause", "pay")
    assert paused.code == 0, paused.err
    assert send("payment.received", "-d", '{"order": 7}')["started"] == []
    assert agentctl("unpause", "pay").code == 0
    assert len(send("payment.received", "-d", '{"order": 7}')["started"]) == 1


def test_an_emit_step_starts_another_loop(project, send, agentctl):
    project.write("loops/pay.yaml", PAY)
    project.write(
        "loops/shop.yaml",
        """
        loop: shop
        triggers: [{event: shop.opened}]
        steps: [{emit: {event: payment.received, data: {order: 8}}}]
        """,
    )
    [run_id] = send("shop.opened")["started"]
    assert agentctl("resume", run_id).code == 0
    [row] = runs(agentctl, "pay")
    assert row["status"] == "queued"  # the process in the foreground drove its own run, and no other
    assert agentctl("resume", row["run_id"], "--json").json["output"]["order"] == 8


def test_a_loop_is_triggered_by_the_failure_of_another(project, send, agentctl):
    project.write("loops/fragile.yaml", "loop: fragile\ntriggers: [{event: go}]\nsteps: [{fail: it broke}]\n")
    project.write(
        "loops/supervisor.yaml",
        """
        loop: supervisor
        triggers:
          - event: agentctl.run.failed
            input: {failed: "${{ event.data.loop }}", why: "${{ event.data.error.message }}"}
        input: {failed: {type: string}, why: {type: string}}
        steps: [{set: {failed: "${{ input.failed }}", why: "${{ input.why }}", id: "${{ event.data.run_id }}"}}, {fail: me too}]
        """,
    )
    [fragile] = send("go")["started"]
    assert agentctl("resume", fragile).code == 1
    [row] = runs(agentctl, "supervisor")
    agentctl("resume", row["run_id"])
    steps = agentctl("show", row["run_id"], "--json").json["steps"]
    assert steps[0]["output"] == {"failed": "fragile", "why": "it broke", "id": fragile}
    assert len(runs(agentctl, "supervisor")) == 1  # its own failure starts it no more


def test_a_batch_is_made_a_run_by_the_event_that_fills_it(project, send, agentctl):
    project.write(
        "loops/collect.yaml",
        """
        loop: collect
        triggers: [{event: tick}]
        batch: {size: 3, for: 1h}
        steps: [{set: {ids: "${{ event.data.events | map(attribute='id') }}"}}]
        """,
    )
    for number in range(2):
        assert send("tick", "--id", f"t{number}")["started"] == []
    said = agentctl("send", "tick", "--id", "t2")
    assert "started run" in said.err
    [row] = runs(agentctl, "collect")
    assert agentctl("resume", row["run_id"], "--json").json["output"] == {"ids": ["t0", "t1", "t2"]}


def test_people_are_told_that_an_event_is_gathered(project, agentctl):
    project.write("loops/calm.yaml", "loop: calm\ntriggers: [{event: tick}]\ndebounce: {for: 1h}\nsteps: [{set: {a: 1}}]\n")
    said = agentctl("send", "tick").err
    assert "collected for calm with others until they start a run" in said
    assert "no run waits" not in said


@pytest.mark.parametrize("source", ["-", "@data.json"])
def test_the_data_may_come_from_a_file_or_stdin(project, agentctl, source):
    project.write("loops/pay.yaml", PAY)
    project.write("data.json", '{"order": 12}')
    sent = agentctl("send", "payment.received", "-d", source, "--json", stdin='{"order": 12}' if source == "-" else None)
    assert len(sent.json["started"]) == 1, sent.err
    [row] = runs(agentctl, "pay")
    assert agentctl("resume", row["run_id"], "--json").json["output"]["order"] == 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["agentctl.run.failed"], "agentctl's own"),
        (["tick", "-d", "@nowhere.json"], "cannot be read"),
        (["tick", "-d", "{'a': 1}"], "--data takes JSON"),
        (["tick", "-d", "[" * 101 + "]" * 101], "nested deeper than 100 levels"),
        (["tick", "-d", "[" * 975 + "]" * 975], "nested deeper than 100 levels"),
        (["tick", "--id", ""], "1 to 255 characters, not ''"),
        (["tick", "--id", "x" * 256], "1 to 255 characters, not one of 256"),
        (["tick", "--id", "\udcff"], "a text in UTF-8"),
    ],
)
def test_what_cannot_be_sent_is_refused(agentctl, project, arguments, said):
    result = agentctl("send", *arguments, "--json")
    assert (result.code, result.json["error"]["type"]) == (2, "usage")
    assert said in result.json["error"]["message"]
    assert not project.store.exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("steps: [{emit: {event: agentctl.run.failed}}]", "agentctl's own"),
        ("triggers: [{event: 'a.b*'}]\nsteps: [{set: {a: 1}}]", "one whole part"),
        ("triggers: [{event: agentctl.run.faild}]\nsteps: [{set: {a: 1}}]", "did you mean 'agentctl.run.failed'?"),
        ("triggers: [{event: agentctl.webhook.shop}]\nsteps: [{set: {a: 1}}]", "starts anything"),
        ("triggers: [{event: agentctl.file.created}]\nsteps: [{set: {a: 1}}]", "starts anything"),
        ("steps: [{wait: {event: agentctl.file.made}}]", "is ever sent"),
    ],
)
def test_a_name_that_cannot_be_is_found_at_load(agentctl, project, text, word):
    project.write("loops/x.yaml", f"loop: x\n{text}\n")
    [problem] = agentctl("validate", "loops/x.yaml", "--json").json
    assert (problem["code"], word in problem["message"]) == ("bad-event-name", True)


def test_a_folder_that_cannot_be_listed_keeps_no_event_from_being_sent(project, agentctl):
    (project.root / "agentctl.yaml").touch()
    project.write("skills/pay.yaml", PAY.replace("loop: pay", "skill: pay"))
    agentctl("send", "payment.none")
    (project.root / "loops").rename(project.root / "away")
    (project.root / "loops").touch()
    sent = agentctl("send", "payment.received", "-d", '{"order": 7}', "--json")
    assert (sent.code, len(sent.json["started"])) == (0, 1), sent.err
    assert "loops: Not a directory; everything stays as it is deployed" in sent.err


def test_an_event_that_is_sent_from_elsewhere_starts_what_is_deployed(project, agentctl, tmp_path):
    project.write("loops/pay.yaml", PAY)
    store = project.root / ".agentctl" / "agentctl.db"
    agentctl("send", "payment.received", "-d", '{"order": 1}')
    (tmp_path / "elsewhere").mkdir()
    sent = agentctl("send", "payment.received", "-d", '{"order": 7}', "--db", store, "--json", cwd=tmp_path / "elsewhere")
    assert len(sent.json["started"]) == 1
