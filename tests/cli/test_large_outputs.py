"""An output over 1 MiB stays what it is to the language, and JSON documents show a reference to its file."""

from __future__ import annotations

from pathlib import Path

LARGE = """
    loop: large
    steps:
      - {id: log, shell: "yes line | head -c 1100000; echo ERROR"}
      - {id: found, set: {it: "${{ 'ERROR' in steps.log.output }}", length: "${{ steps.log.output | length }}"}}
      - {id: lines, shell: "seq 1 200000", parse: lines}
      - {id: data, python: "tasks:many"}
      - {id: fed, shell: wc -c, stdin: "${{ steps.log.output }}", parse: json}
      - {id: passed, set: {log: "${{ steps.log.output }}"}}
      - {id: again, shell: wc -c, stdin: "${{ steps.passed.output.log }}", parse: json}
    output:
      found: ${{ steps.found.output }}
      lines: ${{ steps.lines.output | length }}
      last: ${{ steps.lines.output[199999] }}
      item: ${{ steps.data.output.numbers[3] }}
      fed: ${{ steps.fed.output }}
      again: ${{ steps.again.output }}
"""
TASKS = "def many():\n    return {'numbers': list(range(300_000))}\n"


def step(document, path):
    [found] = [step for step in document["steps"] if step["path"] == path]
    return found


def test_a_large_output_is_searched_counted_parsed_and_fed_as_what_it_is(project, agentctl):
    project.write("loops/large.yaml", LARGE)
    project.write("tasks.py", TASKS)
    assert agentctl("run", "large", "--json").json["output"] == {
        "found": {"it": True, "length": 1_100_005},  # without the newline at its end
        "lines": 200_000,
        "last": "200000",
        "item": 3,
        "fed": 1_100_005,
        "again": 1_100_005,
    }
    shown = agentctl("show", "last", "--json").json
    for path, size in (("log", 1_100_006), ("lines", None), ("data", None)):
        output = step(shown, path)["output"]
        assert set(output) == {"file", "bytes", "sha256"}
        assert Path(output["file"]).stat().st_size == output["bytes"] == (size or output["bytes"])
    assert step(shown, "passed")["output"] == {"log": step(shown, "log")["output"]}


def test_a_run_whose_output_is_large_shows_its_file_and_keeps_it_once(project, agentctl):
    project.write("loops/large.yaml", "loop: large\nsteps: [{shell: 'head -c 3000000 /dev/zero'}]\n")
    output = agentctl("run", "large", "--json").json["output"]
    assert set(output) == {"file", "bytes", "sha256"}
    assert [file.name for file in (project.store.parent / "payloads").iterdir()] == [output["sha256"]]


def test_a_large_output_goes_on_through_skills_events_and_memory(project, agentctl):
    project.write(
        "loops/sender.yaml",
        """
        loop: sender
        steps:
          - {id: log, shell: seq 1 200000}
          - {id: counted, skill: count, with: {text: "${{ steps.log.output }}"}}
          - {emit: {event: log.made, data: {log: "${{ steps.log.output }}"}}}
          - {remember: {log: "${{ steps.log.output }}"}}
        output: ${{ steps.counted.output }}
        """,
    )
    count = "input: {text: {type: string}}\nsteps: [{shell: [wc, -c], stdin: '${{ input.text }}', parse: json}]\n"
    project.write("skills/count.yaml", "skill: count\n" + count)
    receiver = "triggers: [{event: log.made, if: \"'199999' in event.data.log\", input: {text: event.data.log}}]\n"
    project.write("loops/receiver.yaml", "loop: receiver\n" + receiver + count)
    assert agentctl("run", "sender", "--json").json["output"] == 1_288_894
    assert set(agentctl("state", "sender", "--json").json["log"]) == {"file", "bytes", "sha256"}
    [received] = [row for row in agentctl("history", "--json").json if row["loop"] == "receiver"]
    resumed = agentctl("resume", received["run_id"], "--json")
    assert resumed.json["output"] == 1_288_894, resumed.err


def test_an_expression_reads_up_to_16_mib_and_stdin_takes_any_size(project, agentctl):
    project.write(
        "loops/huge.yaml",
        """
        loop: huge
        steps:
          - {id: log, shell: "head -c 20000000 /dev/zero | tr '\\\\0' x"}
          - {id: size, shell: wc -c, stdin: "${{ steps.log.output }}", parse: json}
          - {id: look, set: {it: "${{ 'y' in steps.log.output }}"}}
        """,
    )
    failed = agentctl("run", "huge", "--json")
    assert failed.json["error"]["type"] == "expression"
    assert "16 MiB" in failed.json["error"]["message"]
    assert step(agentctl("show", "last", "--json").json, "size")["output"] == 20_000_000


def test_bytes_are_a_file_and_go_on_as_they_are(project, agentctl):
    project.write(
        "loops/image.yaml",
        """
        loop: image
        steps:
          - {id: image, shell: "printf '\\\\211PNG\\\\377\\\\n'", parse: bytes}
          - {id: file, shell: 'wc -c <"$FILE"', env: {FILE: "${{ steps.image.output.file }}"}, parse: json}
          - {id: fed, shell: wc -c, stdin: "${{ steps.image.output }}", parse: json}
        output: ["${{ steps.file.output }}", "${{ steps.fed.output }}"]
        """,
    )
    assert agentctl("run", "image", "--json").json["output"] == [6, 6]


def test_json_that_is_not_utf8_is_invalid_and_a_byte_order_mark_is_dropped(project, agentctl):
    project.write(
        "loops/text.yaml",
        """
        loop: text
        steps:
          - {id: marked, shell: "printf '\\\\357\\\\273\\\\277[1]'", parse: json}
          - {id: wide, shell: "printf '[\\\\0002\\\\000]\\\\000'", parse: json}
          - {id: latin, shell: "printf '[\\\\042\\\\344\\\\042]'", parse: json}
        """,
    )
    failed = agentctl("run", "text", "--json").json
    assert (failed["error"]["type"], failed["error"]["step"]) == ("output.invalid", "latin")
    shown = agentctl("show", "last", "--json").json
    assert [step(shown, path)["output"] for path in ("marked", "wide")] == [[1], [2]]


def test_an_output_over_its_limit_ends_the_step(project, agentctl):
    project.write("loops/endless.yaml", "loop: endless\nsteps: [{shell: 'yes', max_output: 2MiB}]\n")
    error = agentctl("run", "endless", "--json").json["error"]
    assert error["type"] == "shell.too_large"
    assert "2.0 MiB" in error["message"]


def test_a_limit_of_output_stands_beside_an_action_that_has_output(project, agentctl):
    project.write("loops/odd.yaml", "loop: odd\nsteps: [{set: {a: 1}, max_output: 2MiB}]\n")
    refused = agentctl("validate", "--json", "loops/odd.yaml")
    assert refused.code == 2
    assert [problem["code"] for problem in refused.json] == ["misplaced-key"]


def test_a_function_that_leaves_without_an_answer_leaves_an_effect_of_once_in_doubt(project, agentctl):
    project.write("loops/pay.yaml", "loop: pay\nsteps: [{python: 'tasks:leave', effect: once, retry: 3}]\n")
    project.write("tasks.py", "import os\ndef leave():\n    open('trace', 'a').write('x')\n    os._exit(0)\n")
    assert agentctl("run", "pay", "--no-wait").code == 3
    assert agentctl("history", "--json").json[0]["status"] == "blocked"
    assert (project.root / "trace").read_text() == "x"


def test_an_output_that_the_store_cannot_take_is_no_failure_of_the_step(project, agentctl):
    project.write("loops/big.yaml", "loop: big\nsteps: [{shell: 'echo ran >>trace; head -c 2000000 /dev/zero'}]\n")
    project.store.parent.mkdir(mode=0o700)
    payloads = project.store.parent / "payloads"
    payloads.write_text("a file where the folder should be")
    stopped = agentctl("run", "big", "--json")
    assert (stopped.code, stopped.json["error"]["type"]) == (5, "store")
    assert agentctl("history", "--json").json[0]["status"] == "interrupted"
    payloads.unlink()
    assert agentctl("resume", "last", "--json").json["output"]["bytes"] == 2_000_000


def test_a_recorded_case_has_the_beginning_of_a_large_output(project, agentctl):
    project.write("loops/big.yaml", "loop: big\nsteps: [{id: log, shell: 'yes line | head -c 2000000'}, {set: {a: 1}}]\n")
    assert agentctl("run", "big").code == 0
    recorded = agentctl("test", "--record", "last")
    assert recorded.code == 0, recorded.err
    text = "".join(file.read_text() for file in (project.root / "tests").glob("*.yaml")) or recorded.out
    assert "line\\nline" in text or "line\n" in text
    assert "sha256" not in text
