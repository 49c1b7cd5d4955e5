"""The schema as an editor and other tools see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from agentctl.language.formats import FORMATS
from agentctl.language.schema import schema
from agentctl.language.vocabulary import FLOW
from agentctl.language.yaml.reader import read_text
from agentctl.model import HANDLERS
from agentctl.spec.catalog import BUILT_IN as ACTIONS

PLAIN = Draft202012Validator(schema())

EVERYTHING = """
loop: everything
description: x
triggers:
  - {cron: "*/30 * * * *", timezone: UTC, overlap: skip}
  - {event: infra.check.requested, if: event.data.x == 1, input: {service: "${{ event.data.x }}"}}
input: {service: {type: string, default: all}}
concurrency: {limit: 2, key: "${{ input.service }}", on_limit: skip}
throttle: {limit: 1, per: 1m, key: "${{ input.service }}"}
rate_limit: {limit: 1, per: 1m, key: "${{ input.service }}"}
debounce: {for: 5s, key: "${{ input.service }}"}
batch: {size: 5, for: 1m, key: "${{ event.data.x }}"}
priority: input.service == 'all'
dedupe: {key: "${{ input.service }}", for: 24h}
timeout: 10m
budget: {tokens: 50000, usd: 0.50, per: day}
defaults: {retry: {attempts: 3, delay: 1s, backoff: 3, max_delay: 1m, jitter: 0, on: [any], never: [x]}, timeout: 1m}
permissions:
  shell: "*"
  python: ["*"]
  http: ["*"]
  skills: ["*"]
  secrets: [B]
  emit: ["*"]
  models: ["*"]
  budget: {tokens: 50000, usd: 1}
steps:
  - {id: a, name: A, if: input.service, needs: [], shell: x, parse: text, env: {A: 1}, stdin: x, cwd: /, max_output: 1MiB}
  - id: b
    shell: {run: "x", ok_codes: [0, 1], interpreter: bash, cwd: /, env: {A: 1}, stdin: x, parse: json, max_output: 1MiB}
    effect: once
    on_unknown: {probe: [{set: {done: false}}]}
  - {python: "pkg.mod:fn", with: {x: 1}, idempotency_key: "${{ input.service }}"}
  - http: {method: POST, url: "http://x", headers: {a: b}, query: {c: 1}, json: 1, ok: [2xx, 404], parse: json, max_bytes: 1MiB}
  - {llm: {prompt: x, system: y, model: local, schema: {a: {type: string}}, temperature: 0, max_tokens: 5, fallback_models: [z]}}
  - {llm: {messages: [{role: user, content: x}]}, cache: {key: k, ttl: 1h}}
  - agent:
      goal: x
      system: y
      model: local
      schema: {a: {type: string}}
      tools:
        - {skill: a, approve: true, name: ask, description: x, detach: true}
        - {shell: [git, log, "*"], max_calls: 2, cwd: /, parse: lines, serial: true}
        - {http: {method: [GET, POST], hosts: [x], paths: ["/v1/*"], headers: {a: b}, local: true}}
        - {python: "m:f", approve: {if: "true", timeout: 1h, on_timeout: approve, edit: [a]}, timeout: 1m, retry: 2}
        - {emit: [a.b]}
        - {ask: {timeout: 1h, max: 2}, name: question}
        - {skills: "infra-*"}
        - name: pay
          args: {amount: {type: integer}}
          shell: [echo, "${{ args.amount }}"]
          env: {A: 1}
          stdin: x
          effect: once
          on_unknown: {probe: [{set: {done: false}}]}
          idempotency_key: args.amount
          undo: {shell: [echo, "${{ args.amount }}", "${{ output }}"]}
        - {name: write, args: {a: {type: string}}, remember: {a: "${{ args.a }}"}}
        - {name: fetch, args: {a: {type: string}}, http: {url: "http://x/${{ args.a }}"}}
        - {name: sum, args: {a: {type: string}}, python: "m:f", with: {b: "${{ args.a }}"}}
        - {name: tell, args: {a: {type: string}}, emit: {event: x, data: 1, id: "${{ args.a }}"}}
      max_turns: 5
      stall: 2
      on_limit: answer
      max_tokens: 5
      temperature: 0
      max_parallel: 2
      observation: 1KiB
      compact: {at: 50%, keep: 2}
      fallback_models: [z]
  - {skill: a, with: {x: 1}, detach: true}
  - {wait: 2h}
  - {wait: {until: "2030-01-01T00:00:00Z"}}
  - {wait: {event: x.y, if: event.data.a == 1, timeout: 24h, on_timeout: continue}}
  - {wait: {run: "${{ steps.skill_8.output.run_id }}"}}
  - {approve: {message: x, show: {a: 1}, timeout: 1d, on_timeout: reject, form: {why: {type: string}}}}
  - {foreach: [1, 2], as: n, max_parallel: 2, steps: [{set: {n: "${{ n }}"}}], output: "${{ steps.set_1.output.n }}"}
  - {repeat: {while: index < 3, max: 5, every: 1s, on_max: continue}, steps: [{set: {n: "${{ last }}"}}]}
  - {steps: [{shell: x, undo: {shell: y}, fallback: [{set: {a: 1}}], continue_on_error: true}], output: 1}
  - {remember: {a: 1}}
  - {emit: {event: x, data: 1, id: y}}
  - {if: "false", fail: {type: a.b, message: x, data: 1}}
  - {if: false, return: 5}
  - {history: {of: x, since: 7d, status: [failed], limit: 5}}
  - {publish: {definition: x, reason: y, tests: []}}
output: ${{ steps.a.output }}
on_failure: [{shell: x}]
on_success: [{shell: x}]
on_cancel: [{shell: x}]
finally: [{shell: x}]
"""


def test_it_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_a_definition_with_every_key_is_valid_for_any_validator() -> None:
    data = read_text(EVERYTHING).data
    assert [error.message for error in PLAIN.iter_errors(data)] == []
    written = {key for step in data["steps"] for key in step}
    assert set(ACTIONS) - {"set"} <= written


def test_a_definition_with_every_key_loads(loaded: Any) -> None:
    assert len(loaded(EVERYTHING).definition.steps) == 22


def test_any_validator_refuses_what_we_refuse() -> None:
    for text in (
        "{shel: x}",
        "{shell: x, llm: {prompt: x}}",
        "{name: x}",
        "{shell: x, retry: 0}",
        "{foreach: [1]}",
        "{set: {a: 1}, parse: json}",
    ):
        data = {"loop": "x", "steps": [read_text(f"a: {text}").data["a"]]}
        assert list(PLAIN.iter_errors(data)), text


def mappings(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            yield from mappings(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from mappings(item, f"{path}/{index}")


def test_every_key_that_an_editor_offers_is_described() -> None:
    silent = []
    for path, node in mappings(schema()):
        if "properties" in node and "oneOf/" not in path:
            for key, item in node["properties"].items():
                target = schema()["$defs"][item["$ref"].rsplit("/", 1)[-1]] if "$ref" in item else {}
                if "description" not in item and "description" not in target:
                    silent.append(f"{path}/{key}")
    assert silent == []


def test_every_mapping_that_refuses_keys_has_a_name_for_the_message() -> None:
    assert [path for path, node in mappings(schema()) if node.get("additionalProperties") is False and "title" not in node] == []


def test_schema_and_program_know_the_same_words() -> None:
    step = schema()["$defs"]["step"]
    assert tuple(choice["required"][0] for choice in step["oneOf"]) == tuple(ACTIONS)
    assert set(FLOW) | set(HANDLERS) <= set(schema()["properties"])
    used = {node["format"] for _, node in mappings(schema()) if isinstance(node.get("format"), str)}
    assert used == set(FORMATS)
