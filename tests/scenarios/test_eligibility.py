"""The endpoints that a request may ask; each of its fields reaches the decision it is for."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from llm_router.connections.record import Connection
from llm_router.errors import ReplyFailedError, StatusError
from llm_router.routing.policies.latency import LatencyPolicy
from llm_router.routing.router import Router
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import ChatRequest, Chunk
from tests.scenarios.stage import HELLO, Stage
from tests.scenarios.test_rules import ask_until

ANSWER = "We open at nine in the morning."


def asked(s: Stage) -> list[str]:
    return [event.connection for event in s.events]


# ── Eligible endpoints ────────────────────────────────────────────────────────────────────────────


def test_when_no_connection_may_be_asked_each_is_named_with_its_reason() -> None:
    s = Stage([say(ANSWER)], [say(ANSWER)], [fail(StatusError(500))])
    s.connections[0] = replace(s.connections[0], use_in_automation=False)
    s.connections[1] = replace(s.connections[1], is_active=False)
    with pytest.raises(ReplyFailedError) as raised:
        s.ask(speech=False, integration="automation")
    for why in ("a: not flagged for automation", "b: not active", "c: overloaded"):
        assert why in str(raised.value)
    assert s.replies[0].unasked == (("a", "not flagged for automation"), ("b", "not active"))
    assert set(asked(s)) == {"c"}


def test_only_connections_of_the_named_pool_are_asked() -> None:
    s = Stage([say(ANSWER)], [say(ANSWER)])
    s.connections[1] = replace(s.connections[1], pool="night")
    s.ask(pool="night")
    assert asked(s) == ["b"]


def test_a_request_asks_only_those_it_chooses_from_and_learns_of_no_other() -> None:
    s = Stage([say(ANSWER)], [fail(StatusError(500))], [say(ANSWER)])
    with pytest.raises(ReplyFailedError) as raised:
        s.ask(speech=False, among=frozenset("b"))
    assert set(asked(s)) == {"b"}
    assert {name for name, _ in raised.value.reasons} == {"b"}
    s.ask(among=frozenset("bc"))
    assert asked(s)[-1] == "c"


def test_a_connection_at_its_own_limit_is_asked_no_more_and_every_attempt_counts() -> None:
    s = Stage([say(ANSWER)], [say(ANSWER)])
    s.connections[0] = replace(s.connections[0], rate_limit_rpm=2)
    s.ask(turns=3)
    assert asked(s) == ["a", "a", "b"]


# ── A session stays ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("session", "third"), [("a call", "b"), ("", "a")])
def test_a_session_stays_with_the_endpoint_that_answered_it_last(session: str, third: str) -> None:
    """The first one answers, then the unmeasured one, trusted to be fast; then both are equal."""
    s = Stage([say(ANSWER, first=0.2)], [say(ANSWER, first=0.2)])
    s.connections = [Connection(name=name) for name in ("a", "b")]
    s.policy = LatencyPolicy()
    s.ask(turns=3, session_id=session)
    assert asked(s) == ["a", "b", third]


# ── A question that is cancelled and asked again ──────────────────────────────────────────────────


async def take_back(router: Router, s: Stage, asked_for: float, still_open: float) -> None:
    """Asks and cancels after `asked_for` seconds; LiveKit cancels just after it has asked again."""
    asking = asyncio.create_task(ask_until(router, s, asked_for + still_open, session_id="a call"))
    await s.clock.sleep(asked_for)
    if not still_open:
        await asking


@pytest.mark.parametrize("still_open", [0.0, 0.01])
@pytest.mark.parametrize(
    ("asked_for", "again_as", "hedge"),
    [(0.3, "a call", 0.0), (0.3, "another", 0.25), (0.3, "", 0.25), (0.1, "a call", 0.25)],
)
def test_a_caller_who_has_waited_once_does_not_wait_again(
    asked_for: float, again_as: str, hedge: float, still_open: float
) -> None:
    s = Stage([[HANG]], [say(ANSWER, first=0.2)])

    async def main() -> float:
        router = s.open_router()
        await take_back(router, s, asked_for, still_open)
        start = s.clock.now()
        again = ChatRequest(**(HELLO | {"session_id": again_as}))
        async with aclosing(router.stream(again)) as reply:
            await anext(aiter(reply))
        first_word = s.clock.now() - start
        await router.aclose()
        return first_word

    assert s.clock.run(main()) == pytest.approx(hedge + 0.2, abs=1e-6)


def test_a_new_question_long_after_one_without_an_answer_is_asked_as_ever() -> None:
    s = Stage([[HANG], say(ANSWER, first=0.2)], [say(ANSWER, first=0.0)])

    async def main() -> None:
        router = s.open_router()
        await take_back(router, s, 0.2, 0.0)
        await s.clock.sleep(5.0)
        await ask_until(router, s, 5.0, session_id="a call")
        await router.aclose()

    s.clock.run(main())
    assert asked(s) == ["a", "a"]


# ── Measurements of a server ──────────────────────────────────────────────────────────────────────


def test_a_server_that_fails_fast_is_not_taken_for_a_fast_one() -> None:
    s = Stage([fail(StatusError(500))] * 2 + [say(ANSWER)], [say(ANSWER, first=0.2)])
    s.connections = [Connection(name=name) for name in ("a", "b")]
    s.policy = LatencyPolicy()
    s.ask(turns=6)
    assert asked(s)[-3:] == ["b"] * 3


def test_a_short_prompt_is_not_waited_for_as_long_as_long_ones_take() -> None:
    quick, slow = say(ANSWER, first=0.1), say(ANSWER, first=1.5)
    s = Stage([slow] * 4 + [quick] * 4 + [[HANG]], [say(ANSWER, first=0.1)])
    s.connections[1] = replace(s.connections[1], hedge="never")
    long: dict[str, Any] = {"messages": [{"role": "user", "content": "x" * 10_000}]}
    first_words: list[float] = []

    async def main() -> None:
        router = s.open_router()
        for prompt in [long] * 4 + [dict[str, Any]()] * 5:
            start = s.clock.now()
            async with aclosing(router.stream(ChatRequest(**(HELLO | prompt)))) as reply:
                async for _ in reply:
                    first_words.append(s.clock.now() - start)
                    break
        await router.aclose()

    s.clock.run(main())
    assert first_words[-1] <= s.options.patience.shortest + 0.1 + 1e-6


# ── The caller's language ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("language", "soonest", "latest"), [("en", 1.0, 2.0), ("ja", 2.8, 4.0)])
def test_a_stall_is_noticed_by_the_talking_speed_of_the_language(
    language: str, soonest: float, latest: float
) -> None:
    head = "\u6771\u4eac" * 14 + "\u3002"  # 29 characters: 1.9 s in English, 3.9 s in Japanese
    s = Stage([[Step(0.1, Chunk(text=head)), HANG]], [say("\u7d42\u308f\u308a\u3002")])
    [received] = s.ask(language=language)
    assert soonest < received.at[1] < latest


def test_a_stall_is_noticed_sooner_where_the_voice_speaks_faster() -> None:
    head = "a" * 59 + "."
    moments = []
    for speed in (1.0, 2.0):
        s = Stage([[Step(0.1, Chunk(text=head)), HANG]], [say(" Done.")])
        s.options = replace(s.options, voice_speed=speed)
        [received] = s.ask()
        moments.append(received.at[1])
    usual, fast = moments
    assert usual - fast == pytest.approx(2.0, abs=0.05)  # 60 characters take 4 s, or 2 s
