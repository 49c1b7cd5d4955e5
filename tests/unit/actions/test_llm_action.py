from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from agentctl.actions.litellm_library import library
from agentctl.actions.llm import LlmAction
from agentctl.actions.model_answer import chosen, is_closed, read_answers, spoken
from agentctl.core.events import Error
from agentctl.errors import ActionError
from agentctl.ports import Call, Outcome

Make = Callable[..., Call]

SCHEMA = {
    "type": "object",
    "properties": {"severity": {"type": "string", "enum": ["low", "high"]}},
    "required": ["severity"],
    "additionalProperties": False,
}


def said(text: str | None, **more: Any) -> tuple[int, dict[str, str], bytes]:
    """A chat completion with this text."""
    document = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, **more}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "prompt_tokens_details": {"cached_tokens": 5}},
    }
    return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


def refused(status: int, message: str, code: str | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
    return status, {"Content-Type": "application/json", **headers}, body


class Models:
    """An action whose alias `default` is the test's server; `more` are other entries of `models:`."""

    def __init__(self, server: Any, **more: Any) -> None:
        self.server = server
        self.action = LlmAction({"default": {"model": "openai/small", "api_base": server.url, "api_key": "k"}, **more})

    def ask(self, call: Call, around: Any) -> Outcome:
        async def once() -> Outcome:
            litellm = await library()
            try:
                return await self.action.perform(call, around)
            finally:
                await litellm.close_litellm_async_clients()  # the next test has a loop of its own

        return asyncio.run(once())

    def failure(self, call: Call, around: Any) -> ActionError:
        with pytest.raises(ActionError) as caught:
            self.ask(call, around)
        return caught.value

    def asked(self, number: int = -1) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.server.requests[number]["body"])
        return document


@pytest.fixture
def models(server: Any, no_keys: None) -> Models:
    return Models(server)


def test_a_prompt_is_answered_with_text_and_what_it_cost(call: Make, around: Any, models: Models) -> None:
    models.server.answer = lambda request: said("hello")
    outcome = models.ask(call(prompt="hi", system="be brief", temperature=0, max_tokens=9), around)
    assert outcome.output == "hello"
    assert outcome.usage is not None
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens, outcome.usage.cached_tokens) == (11, 7, 5)
    assert (outcome.usage.usd, outcome.usage.model) == (None, "openai/small")
    assert models.asked()["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert (models.asked()["temperature"], models.asked()["max_tokens"]) == (0, 9)


def test_a_schema_gives_a_validated_object_out_of_prose(call: Make, around: Any, models: Models) -> None:
    models.server.answer = lambda request: said('Here it is:\n```json\n{"severity": "low"}\n```\nDone.')
    assert models.ask(call(prompt="x", schema=SCHEMA), around).output == {"severity": "low"}
    assert "JSON Schema" in models.asked()["messages"][0]["content"]
    assert "response_format" not in models.asked()


def test_a_server_that_knows_schemas_is_given_it(call: Make, around: Any, server: Any, no_keys: None) -> None:
    models = Models(server, able={"model": "openai/small", "api_base": server.url, "supports_schema": True})
    server.answer = lambda request: said('{"severity": "low"}')
    assert models.ask(call(prompt="x", model="able", schema=SCHEMA), around).output == {"severity": "low"}
    assert models.asked()["response_format"]["json_schema"]["strict"] is True


def test_an_invalid_answer_is_an_error_and_the_next_attempt_is_told(call: Make, around: Any, models: Models) -> None:
    models.server.answer = lambda request: said('{"severity": "huge"}')
    error = models.failure(call(prompt="x", schema=SCHEMA), around)
    assert error.type == "llm.invalid_output"
    assert error.data is not None
    assert error.data["output"] == '{"severity": "huge"}'
    assert "$.severity" in error.data["problems"][0]
    assert error.usage is not None
    assert error.usage["output_tokens"] == 7
    models.server.answer = lambda request: said('{"severity": "high"}')
    previous = Error(type=error.type, message=error.message, data=error.data)
    assert models.ask(call(previous, prompt="x", schema=SCHEMA), around).output == {"severity": "high"}
    assistant, user = models.asked()["messages"][-2:]
    assert assistant == {"role": "assistant", "content": '{"severity": "huge"}'}
    assert "'huge'" in user["content"]


def test_text_without_json_and_an_empty_answer_are_invalid(call: Make, around: Any, models: Models) -> None:
    models.server.answer = lambda request: said("I would rather not.")
    assert models.failure(call(prompt="x", schema=SCHEMA), around).type == "llm.invalid_output"
    models.server.answer = lambda request: said(None)
    assert models.failure(call(prompt="x"), around).type == "llm.invalid_output"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(401, "who are you"), "llm.auth"),
        (refused(403, "not for you"), "llm.auth"),
        (refused(429, "You exceeded your current quota", "insufficient_quota"), "llm.auth"),
        (refused(429, "slow down"), "llm.rate_limit"),
        (refused(400, "too many tokens"), "llm.bad_request"),
        (refused(404, "no such model"), "llm.bad_request"),
        (refused(422, "cannot be processed"), "llm.bad_request"),
        (refused(500, "oops"), "llm.unavailable"),
        (refused(503, "overloaded"), "llm.unavailable"),
    ],
)
def test_what_a_provider_says_becomes_an_error_of_ours_after_one_request(
    call: Make, around: Any, models: Models, answer: Any, kind: str
) -> None:
    models.server.answer = lambda request: answer
    error = models.failure(call(prompt="x"), around)
    assert error.type == kind
    assert json.loads(answer[2])["error"]["message"] in error.message
    assert len(models.server.requests) == 1


def test_retry_after_is_handed_on(call: Make, around: Any, models: Models) -> None:
    models.server.answer = lambda request: refused(429, "slow down", **{"Retry-After": "42"})
    assert models.failure(call(prompt="x"), around).retry_after == 42


def test_a_server_that_is_not_there_is_unavailable(call: Make, around: Any, server: Any, no_keys: None) -> None:
    models = Models(server, gone={"model": "openai/small", "api_base": "http://127.0.0.1:9"})
    assert models.failure(call(prompt="x", model="gone"), around).type == "llm.unavailable"


def test_a_model_is_waited_for_for_a_time_of_ours_unless_the_step_says_for_how_long(
    call: Make, around: Any, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentctl.actions.llm.TIMEOUT", 0.2)
    given_up = Event()

    def slowly(request: Any) -> tuple[int, dict[str, str], bytes]:
        given_up.wait(1.0)
        return said("at last")

    models.server.answer = slowly
    assert models.failure(call(prompt="?"), around).type == "llm.unavailable"
    given_up.set()
    monkeypatch.setattr("agentctl.actions.llm.TIMEOUT", 1e-6)
    assert models.ask(call(prompt="?", timeout=30.0), around).output == "at last"


def test_a_fallback_model_answers_when_the_first_cannot(call: Make, around: Any, server: Any, no_keys: None) -> None:
    models = Models(server, keyless="anthropic/claude", second={"model": "openai/second", "api_base": server.url})
    server.answer = lambda request: said("from second") if b'"second"' in request["body"] else refused(500, "oops")
    outcome = models.ask(call(prompt="x", model="keyless", fallback_models=["default", "second"]), around)
    assert outcome.output == "from second"
    server.answer = lambda request: refused(500, "oops")
    assert models.failure(call(prompt="x", model="keyless", fallback_models=["default"]), around).type == "llm.unavailable"


def test_without_model_or_key_the_answer_is_at_once_and_without_litellm(repository: Path, no_keys: None) -> None:
    program = """
import asyncio, sys, time
from agentctl.actions.litellm_library import library
from agentctl.actions.llm import LlmAction
from agentctl.errors import ActionError
from agentctl.ports import Call
for models, params in [({}, {}), ({"default": "openai/gpt-x"}, {}), ({}, {"model": "gemini/x"})]:
    call = Call(run_id="r", name="n", path="p", attempt=1, idempotency_key="k", params={"prompt": "x", **params})
    try:
        asyncio.run(LlmAction(models).perform(call, None))
    except ActionError as error:
        print(error.type, error.message)
print("litellm" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    first, second, third, imported = done.stdout.splitlines()
    assert first.startswith("llm.auth No model is configured")
    assert "agentctl.yaml" in first
    assert "`default` (openai/gpt-x)" in second
    assert "OPENAI_API_KEY" in second
    assert "GEMINI_API_KEY" in third
    assert imported == "False"


def test_a_schema_that_is_none_is_invalid_input(call: Make, around: Any, models: Models) -> None:
    models.server.answer = lambda request: said("{}")
    assert models.failure(call(prompt="x", schema={"type": "nonsense"}), around).type == "input.invalid"
    assert models.failure(call(prompt="x", schema={"$ref": "http://127.0.0.1:9/x"}), around).type == "input.invalid"


def test_a_schema_is_closed_when_every_object_in_it_says_exactly_what_it_holds() -> None:
    assert is_closed(SCHEMA)
    assert not is_closed({"type": "object", "properties": {"a": {"type": "object", "properties": {}}}, "required": ["a"]})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ("[1]", [[1]]),
        ('So {maybe} it is {"a": {"b": 2}} then', [{"a": {"b": 2}}]),
        ('{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ('Draft {"a": 1}, final:\n```json\n{"a": 2}\n```\n{really}', [{"a": 1}, {"a": 2}]),
        ("```\n7\n```", [7]),
    ],
)
def test_json_is_found_in_an_answer(text: str, values: Any) -> None:
    assert read_answers(text) == values


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('<think>{"no": 1}</think>{"a": 1}', '{"a": 1}'),
        ('reasoning {"no": 1}</think>yes', "yes"),
        ("<think>a</think><think>b</think>yes", "yes"),
        ("<think>never ends", ""),
        ("Write <think> and </think> around it", "Write <think> and </think> around it"),
        ("\ufeffyes", "yes"),
    ],
)
def test_reasoning_before_the_answer_is_left_out(text: str, answer: str) -> None:
    assert spoken(text) == answer


def test_of_several_values_the_last_one_that_fits_is_the_answer() -> None:
    assert chosen([{"severity": "high"}, {"severity": "low"}, [1]], SCHEMA) == ({"severity": "low"}, [])
    value, problems = chosen([{"severity": "huge"}, {"severity": "tiny"}], SCHEMA)
    assert value == {"severity": "tiny"}
    assert "'tiny'" in problems[0]


def message(content: Any, reason: str = "stop", **more: Any) -> tuple[int, dict[str, str], bytes]:
    """A chat completion whose message has more fields."""
    status, headers, body = said(content, finish_reason=reason)
    document = json.loads(body)
    document["choices"][0]["message"].update(more)
    return status, headers, json.dumps(document).encode()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (message('{"sever', "length"), "llm.cut", "`max_tokens`"),
        (message("", "length", reasoning_content="hm"), "llm.cut", "reasoning was cut"),
        (message("", "stop", reasoning_content="hm"), "llm.invalid_output", "reasoned and gave no answer"),
        (message("<think>hm</think>"), "llm.invalid_output", "reasoned and gave no answer"),
        (message(None, "stop", refusal="I will not."), "llm.refused", "I will not."),
        (message("half", "content_filter"), "llm.refused", "filter"),
        (message(None, "tool_calls", tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
         "llm.invalid_output", "tool"),
        (refused(400, "blocked by our content management policy", "content_filter"), "llm.refused", "content management"),
        (refused(400, "the maximum context length is 8 tokens", "context_length_exceeded"), "llm.context", "maximum context"),
        (refused(402, "no credit left"), "llm.auth", "no credit left"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_says_why(call: Make, around: Any, models: Models, answer: Any, kind: str, words: str) -> None:
    models.server.answer = lambda request: answer
    error = models.failure(call(prompt="x"), around)
    assert error.type == kind
    assert words in error.message


@pytest.mark.parametrize("status", [402, 404])
def test_a_fallback_model_is_asked_when_the_first_is_gone_or_not_paid_for(
    call: Make, around: Any, server: Any, no_keys: None, status: int
) -> None:
    models = Models(server, second={"model": "openai/second", "api_base": server.url})
    server.answer = lambda request: said("from second") if b'"second"' in request["body"] else refused(status, "no")
    assert models.ask(call(prompt="x", fallback_models=["second"]), around).output == "from second"


def test_a_fallback_model_is_asked_when_the_context_is_too_long(call: Make, around: Any, server: Any, no_keys: None) -> None:
    models = Models(server, second={"model": "openai/second", "api_base": server.url})
    long = refused(400, "the maximum context length is 8 tokens", "context_length_exceeded")
    server.answer = lambda request: said("from second") if b'"second"' in request["body"] else long
    assert models.ask(call(prompt="x", fallback_models=["second"]), around).output == "from second"


def with_usage(usage: Any) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = said("yes")
    document = json.loads(body)
    if usage == "absent":
        del document["usage"]
    else:
        document["usage"] = usage
    return status, headers, json.dumps(document).encode()


@pytest.mark.parametrize(
    "usage",
    [
        "absent",
        None,
        {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
        {"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -2},
        {"prompt_tokens": 10**15, "completion_tokens": 10**15, "total_tokens": 2 * 10**15},
    ],
)
def test_usage_that_is_missing_or_cannot_be_counts_as_what_was_reserved(
    call: Make, around: Any, models: Models, usage: Any
) -> None:
    models.server.answer = lambda request: with_usage(usage)
    outcome = models.ask(call(prompt="12345678", max_tokens=400), around)
    assert outcome.usage is not None
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (2, 400)
    assert "did not report all tokens" in around.logged("note")[0]


def test_a_part_of_the_usage_is_completed_to_what_was_reserved(call: Make, around: Any, models: Models) -> None:
    models.server.answer = lambda request: with_usage({"prompt_tokens": 10})
    outcome = models.ask(call(prompt="12345678", max_tokens=400), around)
    assert outcome.usage is not None
    assert outcome.usage.input_tokens == 10
    assert outcome.usage.input_tokens + outcome.usage.output_tokens == 402


@pytest.mark.parametrize(
    ("price", "cost", "usd"),
    [
        (None, 0.5, None),
        ("server", 0.5, 0.5),
        ("server", -0.5, None),
        ({"input": 3, "output": 15}, 0.5, (10 * 3 + 5 * 15) / 1e6),
    ],
)
def test_a_cost_counts_as_the_project_file_says(
    call: Make, around: Any, server: Any, no_keys: None, price: Any, cost: float, usd: float | None
) -> None:
    entry = {"model": "openai/unheard-of", "api_base": server.url, **({"price": price} if price else {})}
    server.answer = lambda request: with_usage({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": cost})
    outcome = Models(server, priced=entry).ask(call(prompt="x", model="priced"), around)
    assert outcome.usage is not None
    assert outcome.usage.usd == usd


@pytest.mark.filterwarnings("ignore:Pydantic")  # in the product litellm_library sees to that
def test_an_answer_that_cannot_be_read_shows_no_traceback(call: Make, around: Any, models: Models) -> None:
    models.server.answer = lambda request: message([{"type": "text", "text": "hello"}])
    error = models.failure(call(prompt="x"), around)
    assert "Traceback" not in error.message
    assert "cannot be read as a chat completion: content" in error.message
    assert error.outcome == "unknown"


def test_a_connection_that_fails_says_why(call: Make, around: Any, server: Any, no_keys: None) -> None:
    gone = {"model": "openai/small", "api_base": "http://127.0.0.1:9/v1"}
    unknown = {"model": "openai/small", "api_base": "http://nowhere.invalid/v1"}
    models = Models(server, gone=gone, unknown=unknown)
    error = models.failure(call(prompt="x", model="gone"), around)
    assert "the connection was refused" in error.message
    assert error.outcome == "not_begun"
    error = models.failure(call(prompt="x", model="unknown"), around)
    assert "Connection error" not in error.message


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        ({"api_base": "127.0.0.1:80/v1"}, "llm.bad_request", "http:// or https://"),
        ({"api_base": "http://127.0.0.1:99999/v1"}, "llm.bad_request", "http:// or https://"),
        ({"api_base": "http://127.0.0.1/v1", "api_key": "key\n"}, "llm.auth", "a line break"),
        ({"api_base": "http://127.0.0.1/v1", "api_key": "${{ secrets.GONE }}"}, "llm.auth", "GONE"),
    ],
)
def test_settings_that_no_request_can_be_made_with_are_named(
    call: Make, around: Any, server: Any, no_keys: None, entry: Any, kind: str, words: str
) -> None:
    error = Models(server, odd={"model": "openai/small", **entry}).failure(call(prompt="x", model="odd"), around)
    assert error.type == kind
    assert words in error.message


def test_a_key_of_the_project_file_may_be_a_secret(call: Make, around: Any, models: Models, server: Any) -> None:
    entry = {"model": "openai/small", "api_base": server.url, "api_key": "pre-${{ secrets.MY_KEY }}"}
    models.action = LlmAction({"default": entry}, {"MY_KEY": "abcd"}.get)
    server.answer = lambda request: said("hello")
    assert models.ask(call(prompt="hi"), around).output == "hello"
    assert server.requests[-1]["headers"]["authorization"] == "Bearer pre-abcd"


@pytest.mark.filterwarnings("ignore")  # litellm warns of itself
def test_an_answer_in_pieces_is_put_together(call: Make, around: Any, server: Any, no_keys: None) -> None:
    chunks = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}},
    ]
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "small"}
    body = "".join(f"data: {json.dumps(head | chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    server.answer = lambda request: (200, {"Content-Type": "text/event-stream"}, body.encode())
    models = Models(server, slow={"model": "openai/small", "api_base": server.url, "stream": True})
    outcome = models.ask(call(prompt="x", model="slow"), around)
    assert outcome.output == "hello"
    assert outcome.usage is not None
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (11, 7)
    assert models.asked()["stream"] is True


def test_the_server_named_in_the_projects_env_file_is_the_one_that_is_asked(
    call: Make, around: Any, models: Models, server: Any
) -> None:
    server.answer = lambda request: said("hello")
    models.action = LlmAction({}, {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "k"}.get)
    assert models.ask(call(prompt="hi", model="openai/small"), around).output == "hello"
    assert len(server.requests) == 1


@pytest.mark.parametrize("document", [{}, {"id": "1", "object": "chat.completion", "created": 1, "model": "s", "choices": []}])
def test_an_answer_without_a_choice_is_told_as_what_it_is(call: Make, around: Any, models: Models, document: Any) -> None:
    models.server.answer = lambda request: (200, {"Content-Type": "application/json"}, json.dumps(document).encode())
    assert models.failure(call(prompt="hi"), around).type in ("llm.invalid_output", "llm.unavailable")


def test_a_model_that_is_neither_alias_nor_provider_says_what_to_write(call: Make, around: Any, models: Models) -> None:
    failure = models.failure(call(prompt="hi", model="defualt"), around)
    assert failure.type == "llm.bad_request"
    assert "no alias under `models:`" in failure.message


def test_what_an_error_shows_of_an_answer_is_masked_before_it_is_cut(
    call: Make, make_around: Callable[..., Any], models: Models
) -> None:
    around = make_around({"KEY": "s3cret-value-0123"})
    around.secrets.read("KEY")
    for length in (8180, 8185, 8190):
        models.server.answer = lambda request, length=length: said("x" * length + "s3cret-value-0123" * 3)
        error = models.failure(call(prompt="x", schema=SCHEMA), around)
        assert error.data is not None
        assert set(error.data["output"]) <= set("x*")
    models.server.answer = lambda request: refused(400, "x" * 470 + "s3cret-value-0123" * 5)
    assert set(models.failure(call(prompt="x"), around).message.rpartition(" ")[2]) <= set("x*")
    models.server.answer = lambda request: said(json.dumps({"severity": "y" * 280 + "s3cret-value-0123" * 3}))
    error = models.failure(call(prompt="x", schema=SCHEMA), around)
    assert error.data is not None
    assert "s3c" not in str(error.data["problems"]) + error.message
