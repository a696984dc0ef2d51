"""Rules that one fault in one reply does not show: open breakers, limits, takeovers, crowds."""

import asyncio
import math
from contextlib import aclosing
from dataclasses import replace

import pytest

from llm_router.errors import BrokenStreamError, ReplyFailedError, StatusError, UnreachableError
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.router import Router
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage
from tests.scenarios.stage import HELLO, Stage

ANSWER = "We open at nine in the morning, and we close at six."
SPARE = say(ANSWER, first=0.2)
BROKEN = Step(0.0, error=BrokenStreamError("reset"))
DOWN = fail(UnreachableError("refused"))
CALL = Chunk(tool_calls=(ToolCall("1", "get_time", "{}"),))
STOP = Step(0.0, Chunk(finish_reason="stop"))
HEAD = "We open at nine in the"
REST = " morning, and we close at six."


def asked_at(s: Stage, name: str) -> list[float]:
    return [event.started_at for event in s.events if event.connection == name]


# ── Open breakers ─────────────────────────────────────────────────────────────────────────────────


def test_a_rate_limited_endpoint_rests_for_as_long_as_it_asked() -> None:
    s = Stage([fail(StatusError(429, retry_after=5.0)), say(ANSWER)], [SPARE])
    received = s.ask(turns=10)
    assert asked_at(s, "a")[1] >= 5.0
    assert {chunk.connection for chunk in received[-1].chunks} == {"a"}


def test_a_rejected_key_is_not_tried_again_until_the_connection_is_changed() -> None:
    s = Stage([fail(StatusError(401))], [SPARE])
    s.ask(turns=30, pause=10.0)
    assert len(s.providers[0].requests) == 1


LOADING = Step(0.002, Chunk(loading=True))


def test_while_a_model_is_loaded_the_next_answers_at_once_until_it_is_there() -> None:
    s = Stage([[LOADING, HANG]] * 5 + [say(ANSWER)], [SPARE])
    received = s.ask(turns=6)
    assert [turn.text for turn in received] == [ANSWER] * 6
    assert {round(turn.first_word_at, 2) for turn in received[:5]} == {0.2}
    assert s.outcomes[:2] == [("a", "loading"), ("b", "won")]
    assert {chunk.connection for chunk in received[5].chunks} == {"a"}


def test_a_model_that_only_one_has_is_waited_for_while_it_is_loaded() -> None:
    s = Stage([[LOADING, *say(ANSWER, first=3.0)], say(ANSWER)])
    (slow, _) = s.ask(turns=2)
    assert slow.text == ANSWER
    assert "unmeasured" not in s.router
    assert "p50 0.1" in s.router, "the time it took to load says nothing of the next answer"


def test_what_is_still_being_loaded_when_time_is_up_is_said_so() -> None:
    s = Stage([[LOADING, HANG]])
    with pytest.raises(ReplyFailedError, match=r"a: loading \(its model is not in memory yet\)"):
        s.ask(speech=False)
    assert s.outcomes == [("a", "loading")]


def test_the_last_endpoint_is_tried_although_its_breaker_is_open() -> None:
    s = Stage([DOWN] * 18 + [say(ANSWER)])
    received = s.ask(turns=4, pause=0.1)
    assert ["sorry" in turn.text for turn in received[:3]] == [True, True, True]
    assert received[3].text == ANSWER


def test_an_endpoint_with_an_open_breaker_is_asked_when_all_healthy_ones_have_failed() -> None:
    s = Stage([say(ANSWER)] * 3 + [DOWN], [DOWN, DOWN, DOWN, say(ANSWER)])
    s.connections[0] = replace(s.connections[0], priority=9)
    received = s.ask(turns=4, pause=0.1)
    assert [turn.text for turn in received] == [ANSWER] * 4
    assert {chunk.connection for chunk in received[3].chunks} == {"b"}


def test_an_endpoint_with_an_open_breaker_finishes_the_sentence_when_no_other_can() -> None:
    broken = [*say(HEAD, finish=None), BROKEN]
    s = Stage([DOWN, DOWN, DOWN, say(REST)], [say(ANSWER), say(ANSWER), say(ANSWER), broken])
    s.providers[0].continuation = "flags"
    received = s.ask(turns=4, pause=0.1)
    assert received[3].text == ANSWER
    assert s.replies[3].connection == "a"


def test_a_trial_is_waited_for_when_the_one_beside_it_fails() -> None:
    s = Stage([DOWN, DOWN, DOWN, say(ANSWER, first=0.4)], [SPARE, SPARE, SPARE, DOWN])
    received = s.ask(turns=4, pause=2.5)
    assert received[3].text == ANSWER
    assert ("a", "trial") in [(event.connection, event.role) for event in s.events]


def test_a_trial_that_hangs_delays_no_caller_and_keeps_its_endpoint_out() -> None:
    s = Stage([DOWN, DOWN, DOWN, [HANG]], [SPARE])
    received = s.ask(turns=10, pause=1.0)
    assert max(turn.first_word_at for turn in received) <= 0.2 + 1e-6
    assert len(asked_at(s, "a")) <= 5
    assert "open until" in s.router


def test_a_trial_whose_stream_breaks_off_after_its_first_word_is_no_recovery() -> None:
    broken = [*say(HEAD, first=0.05, finish=None), BROKEN]
    s = Stage([DOWN, DOWN, DOWN, broken], [SPARE])
    s.ask(turns=5, pause=1.0)
    assert "Endpoint(a" in s.router
    assert "open until" in s.router.split("Endpoint(b")[0]


# ── Takeovers ─────────────────────────────────────────────────────────────────────────────────────


def test_a_request_too_long_for_one_goes_only_to_those_that_hold_more() -> None:
    s = Stage([fail(StatusError(400, code="context_length_exceeded"))], [SPARE], [SPARE])
    for index, length in enumerate([1000, 500, 4000]):
        s.connections[index] = replace(s.connections[index], context_length=length)
    [received] = s.ask()
    assert {chunk.connection for chunk in received.chunks} == {"c"}
    assert s.providers[1].requests == []


def test_refused_content_is_taken_elsewhere_only_where_the_settings_say_so() -> None:
    s = Stage([fail(StatusError(400, code="content_filter"))], [SPARE])
    s.options = replace(s.options, move_on_refused_content=False)
    [received] = s.ask()
    assert "sorry" in received.text
    assert s.providers[1].requests == []


def test_however_many_endpoints_hang_a_reply_asks_a_few_and_speaks_by_the_deadline() -> None:
    s = Stage(*[[[HANG]]] * 8)
    [received] = s.ask()
    assert sum(len(provider.requests) for provider in s.providers) == s.options.max_attempts
    assert received.first_word_at <= s.options.first_word_deadline + 1e-6


def test_an_endpoint_that_was_late_in_this_reply_is_no_spare_for_a_slow_voice() -> None:
    slow = [Step(0.2, Chunk(text="We open")), Step(3.0, Chunk(text=" at nine.")), STOP]
    s = Stage([[HANG]], [slow])
    s.connections[1] = replace(s.connections[1], hedge="never")
    [received] = s.ask()
    assert received.text == "We open at nine."


def test_without_a_connection_a_caller_hears_a_phrase_and_a_reader_gets_an_error() -> None:
    assert "sorry" in Stage().ask()[0].text
    with pytest.raises(ReplyFailedError, match="no connection is set up"):
        Stage().ask(speech=False)


def test_a_readers_own_short_deadline_counts_against_no_endpoint() -> None:
    s = Stage([[HANG]])
    with pytest.raises(ReplyFailedError, match="a: silent"):
        s.ask(speech=False, first_word_deadline=0.1)
    assert s.outcomes == [("a", "cancelled")]


def test_a_last_resort_asked_at_a_short_deadline_counts_against_no_other_endpoint() -> None:
    s = Stage([[HANG]], [say("No model is connected.", first=0.0)])
    s.providers[1].last_resort = True
    s.ask(first_word_deadline=0.2)
    assert s.outcomes == [("a", "lost"), ("b", "won")]
    assert "0 failed" in s.router.split("Endpoint(b")[0]


# ── Once words are out ────────────────────────────────────────────────────────────────────────────


def test_a_reader_of_text_bears_a_longer_stall_and_then_another_goes_on() -> None:
    s = Stage([[*say(HEAD, first=0.0, gap=0.0, finish=None), HANG]], [SPARE])
    [received] = s.ask(speech=False)
    assert received.text == ANSWER
    assert received.at[-1] > s.options.stall
    assert received.at[-1] < s.options.stall + 2.0


def test_a_long_text_without_punctuation_is_no_drip() -> None:
    words = " ".join(["and"] * 40)
    s = Stage([say(words, gap=0.15)], [SPARE])
    [received] = s.ask()
    assert received.text == words
    assert s.outcomes == [("a", "won")]


def test_words_before_a_tool_call_are_said_and_the_call_is_given_once() -> None:
    s = Stage([[*say("One moment.", finish=None), Step(0.1, CALL), STOP]], [SPARE])
    [received] = s.ask()
    assert (received.text, received.tool_calls) == ("One moment.", ["get_time"])
    assert s.outcomes == [("a", "won")]


def test_words_held_back_at_a_seam_are_said_before_the_tool_call_that_follows() -> None:
    broken = [*say("I will look in", finish=None), BROKEN]
    s = Stage([broken], [[Step(0.1, Chunk(text="The")), Step(0.1, CALL), STOP]])
    [received] = s.ask()
    assert received.text == "I will look in the"
    assert received.tool_calls == ["get_time"]
    assert not received.chunks[-1].text


def test_token_counts_that_come_after_the_end_are_passed_on() -> None:
    counted = Usage(10, 20)
    s = Stage([[*say(ANSWER), Step(0.1, Chunk(usage=counted))]])
    [received] = s.ask()
    assert [chunk.usage for chunk in received.chunks[-2:]] == [None, counted]


def test_a_server_that_talks_on_after_the_end_is_not_listened_to() -> None:
    more = [Step(0.05, Chunk(text=" And more.", finish_reason="stop"))] * 100
    s = Stage([[*say(ANSWER), *more]])
    [received] = s.ask()
    assert received.text == ANSWER
    assert [c.finish_reason for c in received.chunks if c.finish_reason] == ["stop"]
    assert s.events[0].duration < 2.0


def test_a_reader_that_stops_at_the_finish_reason_has_a_whole_reply() -> None:
    s = Stage([say(ANSWER)])
    s.ask(stop_when=lambda received: received.chunks[-1].finish_reason is not None)
    assert s.outcomes == [("a", "won")]
    assert not s.replies[0].cancelled


def test_a_reply_cut_by_its_length_says_so() -> None:
    s = Stage([say(ANSWER, finish="length")], [SPARE])
    [received] = s.ask()
    assert (received.text, received.chunks[-1].finish_reason) == (ANSWER, "length")


def test_a_continuation_that_adds_nothing_amid_a_sentence_is_passed_over() -> None:
    s = Stage([[*say(HEAD, finish=None), BROKEN]], [[STOP]], [say(REST)])
    s.providers[2].continuation = "flags"
    [received] = s.ask()
    assert received.text == ANSWER
    assert s.outcomes[1] == ("b", "empty")


def test_a_reply_that_lacked_only_its_finish_reason_ends_without_an_apology() -> None:
    s = Stage([[*say(ANSWER, finish=None), BROKEN]], [[Step(0.1, STOP.chunk)]])
    [received] = s.ask()
    assert received.text == ANSWER
    assert s.outcomes[1] == ("b", "won")


def test_a_stream_without_a_finish_reason_is_broken_and_not_stalled() -> None:
    s = Stage([say(HEAD, finish=None)], [SPARE])
    s.ask()
    assert s.outcomes[0] == ("a", "broken stream")


def test_a_reply_that_exceeds_its_time_is_closed_and_counts_against_no_endpoint() -> None:
    s = Stage([say(" ".join(["word,"] * 500), gap=0.1)])
    [received] = s.ask(total_deadline=2.0)
    assert received.at[-1] == pytest.approx(2.0, abs=1e-6)
    assert received.chunks[-1].finish_reason == "stop"
    assert s.outcomes == [("a", "cancelled")]
    assert "0 failed" in s.router


# ── Slow and steady ───────────────────────────────────────────────────────────────────────────────


def bursts(text: str, *, words: int, pause: float) -> list[Step]:
    spoken = text.split(" ")
    pieces = [" ".join(spoken[at : at + words]) for at in range(0, len(spoken), words)]
    steps = [Step(pause if at else 0.15, Chunk(text=f"{p} ")) for at, p in enumerate(pieces)]
    return [*steps, STOP]


def test_a_server_that_sends_words_in_bursts_is_left_at_first_and_later_waited_for() -> None:
    s = Stage([bursts("We open at nine on weekdays.", words=2, pause=0.5)], [SPARE])
    received = s.ask(turns=20)
    assert ("a", "dripping") in s.outcomes[:4]
    assert {chunk.connection for turn in received[-10:] for chunk in turn.chunks} == {"a"}
    assert {turn.text.strip() for turn in received[-10:]} == {"We open at nine on weekdays."}
    assert "closed, 0 failed" in s.router.splitlines()[1]


def known_after_one_reply(s: Stage) -> Endpoint:
    """Returns the first endpoint after one reply."""

    async def main() -> Endpoint:
        router = s.open_router()
        await ask_until(router, s, 9.0)
        await router.aclose()
        return router.pool.endpoints[0]

    return s.clock.run(main())


def test_the_longest_pause_of_a_whole_reply_is_noted() -> None:
    uneven = [Step(after, Chunk(text=f" {after},")) for after in (0.1, 0.2, 0.02)]
    first = known_after_one_reply(Stage([[*uneven, STOP]]))
    assert first.latency.pauses.quantile(0.5) == pytest.approx(0.2, rel=0.1)


def test_a_server_that_drips_is_not_taken_for_a_fast_one() -> None:
    drip = [Step(0.05, Chunk(text="We ")), *[Step(1.0, Chunk(text="w "))] * 60]
    assert known_after_one_reply(Stage([drip], [SPARE])).predicted(0) == math.inf


def test_a_slow_but_steady_server_without_a_spare_is_waited_for_and_stays_well() -> None:
    # Past the longest patience each time, and never silent: there is no endpoint to fail over to.
    s = Stage([say(ANSWER, first=2.5)])
    received = s.ask(turns=20)
    assert [turn.first_word_at for turn in received] == [pytest.approx(2.5, abs=1e-6)] * 20
    assert {turn.text for turn in received} == {ANSWER}
    assert "closed, 0 failed" in s.router


def test_a_slow_but_steady_server_gives_way_to_a_quick_spare_after_three_turns() -> None:
    s = Stage([say(ANSWER, first=2.5)], [SPARE])
    received = s.ask(turns=20)
    assert [round(turn.first_word_at, 3) for turn in received] == [0.45] * 3 + [0.2] * 17
    slow, quick = s.router.splitlines()[1:]
    assert "open until" in slow
    assert "closed, 0 failed" in quick


def test_a_slow_but_steady_server_beside_one_as_slow_still_answers() -> None:
    s = Stage([say(ANSWER, first=2.5)], [say(ANSWER, first=2.5)])
    received = s.ask(turns=20)
    assert {turn.text for turn in received} == {ANSWER}
    assert max(turn.first_word_at for turn in received) <= 2.5 + 1e-6


def test_a_router_shows_its_budget_and_each_endpoint_in_a_line() -> None:
    s = Stage([say(ANSWER)], [[HANG]])
    s.ask()
    budget, *endpoints = s.router.splitlines()
    assert budget.startswith("Router(Budget(")
    assert [line.partition(",")[0] for line in endpoints] == ["Endpoint(a", "Endpoint(b"]
    assert "in flight, CircuitBreaker(closed" in endpoints[0]


# ── Barge-ins and crowds ──────────────────────────────────────────────────────────────────────────


async def ask_until(router: Router, s: Stage, seconds: float, **request: object) -> None:
    """Asks, and cancels the reply after `seconds`."""

    async def read() -> None:
        async with aclosing(router.stream(ChatRequest(**{**HELLO, **request}))) as reply:
            async for _ in reply:
                pass

    reading = asyncio.create_task(read())
    await asyncio.wait({reading}, timeout=seconds)
    reading.cancel()
    await asyncio.wait({reading})


def test_an_endpoint_that_callers_always_interrupt_is_not_taken_for_a_fast_one() -> None:
    s = Stage([say(ANSWER, first=0.05)] * 3 + [[HANG]])

    async def main() -> None:
        router = s.open_router()
        for seconds in [2.0] * 3 + [0.2] * 12:
            await ask_until(router, s, seconds)
        [endpoint] = router.pool.endpoints
        assert (endpoint.predicted(0) or 0.0) > 0.2
        assert "0 failed" in repr(endpoint.breaker)
        await router.aclose()

    s.clock.run(main())


def test_answers_begun_too_early_and_dropped_leave_nothing_behind() -> None:
    """Preemptive generation: every new word of the caller cancels the reply to the words before."""
    s = Stage([say(ANSWER)], [SPARE])

    async def main() -> None:
        router = s.open_router()
        for seconds in (0.0, 0.01, 0.1, 0.14, 5.0):
            await ask_until(router, s, seconds, session_id="one call")
            await s.clock.sleep(0.01)
            assert [endpoint.in_flight for endpoint in router.pool.endpoints] == [0, 0]
            assert [provider.open for provider in s.providers] == [0, 0]
        await router.aclose()

    s.clock.run(main())
    assert [outcome for _, outcome in s.outcomes][-1] == "won"
    assert set(s.outcomes[:-1]) == {("a", "cancelled")}


def test_a_crowd_that_meets_a_hung_server_is_answered_to_the_last_caller() -> None:
    s = Stage([[HANG]], [SPARE])

    async def main() -> list[str]:
        router = s.open_router()

        async def call() -> str:
            async with aclosing(router.stream(ChatRequest(**HELLO))) as reply:
                return "".join([chunk.text async for chunk in reply])

        said = await asyncio.gather(*(call() for _ in range(50)))
        assert [endpoint.in_flight for endpoint in router.pool.endpoints] == [0, 0]
        await router.aclose()
        return said

    assert s.clock.run(main()) == [ANSWER] * 50


def test_a_reply_that_takes_longer_than_its_connection_allows_is_finished_by_another() -> None:
    s = Stage([say(ANSWER, gap=0.5)], [say(ANSWER, first=0.2)])
    s.connections[0] = replace(s.connections[0], timeout=2.0)
    [received] = s.ask(speech=False)
    assert received.text == ANSWER
    assert {chunk.connection for chunk in received.chunks} == {"a", "b"}
    assert received.at[-1] < 3.0
