"""Token probabilities: passed on where one server's text came untouched, and else left out."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import pytest

from llm_router.providers._wire.logprobs import TokenLogprobs
from llm_router.testing.script import Fault, Script, event
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, one_server

ASKED = {
    "model": "auto",
    "messages": [{"role": "user", "content": "Hi?"}],
    "logprobs": True,
    "top_logprobs": 1,
}
LOCAL = ("127.0.0.0/8",)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
WORDS = ("It", " is", " nine", ".")


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        yield gateway


def likely(token: str, logprob: Any = -0.5) -> dict[str, Any]:
    one = {"token": token, "logprob": logprob, "bytes": [*token.encode()]}
    return {**one, "top_logprobs": [one]}


def pieces(words: Iterable[str], *, ends: bool = True, **fields: Any) -> list[bytes]:
    """Returns a streamed reply with a token for each word."""
    choices: list[Mapping[str, Any]] = [
        {"delta": {"content": word}, "logprobs": {"content": [likely(word)]}, **fields}
        for word in words
    ]
    if ends:
        choices.append({"delta": {}, "logprobs": None, "finish_reason": "stop"})
    return [event({"choices": [choice]}) for choice in choices]


def streamed(text: str) -> list[Mapping[str, Any]]:
    """Returns the choices of the frames that have one."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return [choice for frame in map(json.loads, data) for choice in frame["choices"]]


def tokens_of(choices: Iterable[Mapping[str, Any]]) -> list[str]:
    return [one["token"] for c in choices if c["logprobs"] for one in c["logprobs"]["content"]]


async def asked(gateway: Gateway, **fields: Any) -> Any:
    answer = await gateway.call("editor", "POST", "/v1/chat/completions", {**ASKED, **fields})
    assert answer.status_code == 200, answer.text
    return answer


async def test_each_token_comes_with_its_text_whole_and_streamed(gateway: Gateway) -> None:
    async with one_server(gateway, Script(raw=pieces(WORDS))) as server:
        [choice] = (await asked(gateway)).json()["choices"]
        assert choice["logprobs"] == {"content": [likely(word) for word in WORDS], "refusal": None}
        choices = streamed((await asked(gateway, stream=True)).text)
        assert tokens_of(choices) == [*WORDS]
        for each in choices:
            tokens = tokens_of([each])
            assert "".join(tokens) == each["delta"].get("content", "")
        body = server.requests[0].body
        assert (body["logprobs"], body["top_logprobs"]) == (True, 1)


@pytest.mark.parametrize("fields", [{"logprobs": None}, {"logprobs": False, "top_logprobs": None}])
async def test_none_comes_unasked(gateway: Gateway, fields: dict[str, Any]) -> None:
    async with one_server(gateway, Script(raw=pieces(WORDS))) as server:
        [choice] = (await asked(gateway, **fields)).json()["choices"]
        assert choice["logprobs"] is None
        assert not tokens_of(streamed((await asked(gateway, stream=True, **fields)).text))
        assert not {"logprobs", "top_logprobs"} & server.requests[0].body.keys()


async def test_tokens_of_thoughts_and_calls_are_not_those_of_the_words(gateway: Gateway) -> None:
    function = {"name": "f", "arguments": "{}"}
    others = [
        {"reasoning_content": "Well", "content": None},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]},
    ]
    aside = [
        event({"choices": [{"delta": delta, "logprobs": {"content": [likely("Well")]}}]})
        for delta in others
    ]
    raw = [aside[0], *pieces(WORDS[:2], ends=False), aside[1], *pieces(WORDS[2:])]
    async with one_server(gateway, Script(raw=raw)):
        choices = streamed((await asked(gateway, stream=True, tools=[TOOL])).text)
        assert tokens_of(choices) == [*WORDS]


async def test_a_reply_of_two_servers_has_none_of_the_second(gateway: Gateway) -> None:
    broken = Script(raw=pieces(WORDS[:2], ends=False), fault=Fault.RESET_AFTER)
    rest = Script(raw=pieces([" nine", "."]))
    async with (
        one_server(gateway, broken, name="a", priority=-1) as first,
        one_server(gateway, rest, name="b"),
    ):
        [choice] = (await asked(gateway)).json()["choices"]
        assert choice["message"]["content"] == "".join(WORDS)
        assert choice["logprobs"] is None
        await first.behave(broken)
        choices = streamed((await asked(gateway, stream=True)).text)
        assert tokens_of(choices) in ([*WORDS[:2]], [])


async def test_a_server_that_says_none_answers_all_the_same(gateway: Gateway) -> None:
    async with one_server(gateway, Script(words=WORDS)):
        [choice] = (await asked(gateway)).json()["choices"]
        assert (choice["message"]["content"], choice["logprobs"]) == ("".join(WORDS), None)


def given(sent: Sequence[str], out: Sequence[str]) -> list[list[str]]:
    """Returns the tokens of each text given out, one behind each that was sent."""
    found = TokenLogprobs()
    tokens = []
    for text, part in zip(sent, out, strict=True):
        found.add({"content": [likely(text)]}, text)
        tokens.append([one["token"] for one in found.of(part)])
    return tokens


def test_tokens_wait_for_text_that_is_held_back() -> None:
    assert given(["a", "<", "b"], ["a", "", "<b"]) == [["a"], [], ["<", "b"]]


def test_text_that_was_changed_has_no_tokens_from_there_on() -> None:
    assert given(["a", "b", "c"], ["a", "B", "c"]) == [["a"], [], []]


@pytest.mark.parametrize(
    "logprob", [None, "x", float("nan"), float("-inf"), 10**400, -1e300, [], {}]
)
def test_whatever_a_server_sends_is_json(logprob: Any) -> None:
    found = TokenLogprobs()
    found.add({"content": [{"token": "\ud83d", "logprob": logprob, "bytes": ["x"]}, 7]}, "a")
    [token] = found.of("a")
    assert token == {"token": "\ufffd", "logprob": -9999.0, "bytes": None, "top_logprobs": []}
    odds: list[Any] = [None, 7, [], {"content": 7}, {"content": [[]]}]
    for odd in odds:
        found.add(odd, 7)
    json.dumps(token, allow_nan=False)


# ── Responses ────────────────────────────────────────────────────────────────────────────────────

RESPONSE = {
    "model": "auto",
    "input": "Hi?",
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 1,
}


def events_of(text: str) -> list[Mapping[str, Any]]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return [*map(json.loads, data)]


async def responded(gateway: Gateway, **fields: Any) -> Any:
    answer = await gateway.call("editor", "POST", "/v1/responses", {**RESPONSE, **fields})
    assert answer.status_code == 200, answer.text
    return answer


async def test_a_response_has_each_token_with_its_text_whole_and_streamed(
    gateway: Gateway,
) -> None:
    known = [likely(word) for word in WORDS]
    async with one_server(gateway, Script(raw=pieces(WORDS))) as server:
        whole = (await responded(gateway)).json()
        assert whole["output"][0]["content"][0]["logprobs"] == known
        assert whole["top_logprobs"] == 1
        body = server.requests[0].body
        assert (body["logprobs"], body["top_logprobs"]) == (True, 1)
        assert "include" not in body
        events = events_of((await responded(gateway, stream=True)).text)
        deltas = [event for event in events if event["type"] == "response.output_text.delta"]
        for delta in deltas:
            assert "".join(one["token"] for one in delta["logprobs"]) == delta["delta"]
        assert [one for delta in deltas for one in delta["logprobs"]] == known
        [done] = [event for event in events if event["type"] == "response.output_text.done"]
        assert done["logprobs"] == known
        last = events[-1]["response"]
        assert last["output"][0]["content"][0]["logprobs"] == known


async def test_a_response_has_none_unasked(gateway: Gateway) -> None:
    async with one_server(gateway, Script(raw=pieces(WORDS))) as server:
        whole = (await responded(gateway, include=["other"], top_logprobs=None)).json()
        assert whole["output"][0]["content"][0]["logprobs"] == []
        assert "logprobs" not in server.requests[0].body


async def test_a_response_of_a_server_that_gives_none_has_none(gateway: Gateway) -> None:
    async with one_server(gateway):
        answer = await responded(gateway, stream=True)
        for event in events_of(answer.text):
            assert not event.get("logprobs")
