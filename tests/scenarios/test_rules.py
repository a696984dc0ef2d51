"""Rules that one fault in one reply does not show: rests, limits, and who may take over."""

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
HEAD, REST = "We open at nine in the", " morning, and we close at six."


def asked_at(s: Stage, name: str) -> list[float]:
    return [event.started_at for event in s.events if event.connection == name]


# ── Rests ────────────────────────────────────────────────────────────────────────────────────────


def test_a_rate_limited_endpoint_rests_for_as_long_as_it_asked() -> None:
    s = Stage([fail(StatusError(429, retry_after=5.0)), say(ANSWER)], [SPARE])
    heard = s.ask(turns=10)
    assert asked_at(s, "a")[1] >= 5.0
    assert {chunk.connection for chunk in heard[-1].chunks} == {"a"}


def test_a_rejected_key_is_not_tried_again_until_the_connection_is_changed() -> None:
    s = Stage([fail(StatusError(401))], [SPARE])
    s.ask(turns=30, pause=10.0)
    assert len(s.providers[0].requests) == 1


LOADING = Step(0.002, Chunk(loading=True))


def test_while_a_model_is_loaded_the_next_answers_at_once_until_it_is_there() -> None:
    s = Stage([[LOADING, HANG]] * 5 + [say(ANSWER)], [SPARE])
    heard = s.ask(turns=6)
    assert [turn.text for turn in heard] == [ANSWER] * 6
    assert {round(turn.first_word_at, 2) for turn in heard[:5]} == {0.2}
    assert s.outcomes[:2] == [("a", "loading"), ("b", "won")]
    assert {chunk.connection for chunk in heard[5].chunks} == {"a"}


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
    s = Stage([DOWN, DOWN, DOWN, say(ANSWER)])
    heard = s.ask(turns=4, pause=0.1)
    assert ["sorry" in turn.text for turn in heard[:3]] == [True, True, True]
    assert heard[3].text == ANSWER


def test_one_that_rests_is_asked_when_those_that_are_well_have_failed() -> None:
    s = Stage([say(ANSWER)] * 3 + [DOWN], [DOWN, DOWN, DOWN, say(ANSWER)])
    s.connections[0] = replace(s.connections[0], priority=9)
    heard = s.ask(turns=4, pause=0.1)
    assert [turn.text for turn in heard] == [ANSWER] * 4
    assert {chunk.connection for chunk in heard[3].chunks} == {"b"}


def test_one_that_rests_finishes_the_sentence_when_nobody_else_can() -> None:
    broken = [*say(HEAD, finish=None), BROKEN]
    s = Stage([DOWN, DOWN, DOWN, say(REST)], [say(ANSWER), say(ANSWER), say(ANSWER), broken])
    s.providers[0].continuation = "flags"
    heard = s.ask(turns=4, pause=0.1)
    assert heard[3].text == ANSWER
    assert s.replies[3].resumes == 1


def test_a_trial_is_waited_for_when_the_one_beside_it_fails() -> None:
    s = Stage([DOWN, DOWN, DOWN, say(ANSWER, first=0.4)], [SPARE, SPARE, SPARE, DOWN])
    heard = s.ask(turns=4, pause=2.5)
    assert heard[3].text == ANSWER
    assert ("a", "trial") in [(event.connection, event.role) for event in s.events]


def test_a_trial_that_hangs_delays_nobody_and_keeps_its_endpoint_out() -> None:
    s = Stage([DOWN, DOWN, DOWN, [HANG]], [SPARE])
    heard = s.ask(turns=10, pause=1.0)
    assert max(turn.first_word_at for turn in heard) <= 0.2 + 1e-6
    assert len(asked_at(s, "a")) <= 5
    assert "open until" in s.router


def test_a_trial_whose_stream_breaks_off_after_its_first_word_is_no_recovery() -> None:
    broken = [*say(HEAD, first=0.05, finish=None), BROKEN]
    s = Stage([DOWN, DOWN, DOWN, broken], [SPARE])
    s.ask(turns=5, pause=1.0)
    assert "Endpoint(a" in s.router
    assert "open until" in s.router.split("Endpoint(b")[0]


# ── Who may follow ───────────────────────────────────────────────────────────────────────────────


def test_a_request_too_long_for_one_goes_only_to_those_that_hold_more() -> None:
    s = Stage([fail(StatusError(400, code="context_length_exceeded"))], [SPARE], [SPARE])
    for index, length in enumerate([1000, 500, 4000]):
        s.connections[index] = replace(s.connections[index], context_length=length)
    [heard] = s.ask()
    assert {chunk.connection for chunk in heard.chunks} == {"c"}
    assert s.providers[1].requests == []


def test_refused_content_is_taken_elsewhere_only_where_the_settings_say_so() -> None:
    s = Stage([fail(StatusError(400, code="content_filter"))], [SPARE])
    s.options = replace(s.options, move_on_refused_content=False)
    [heard] = s.ask()
    assert "sorry" in heard.text
    assert s.providers[1].requests == []


def test_however_many_hang_a_reply_asks_only_a_few_and_speaks_by_the_deadline() -> None:
    s = Stage(*[[[HANG]]] * 8)
    [heard] = s.ask()
    assert sum(len(provider.requests) for provider in s.providers) == s.options.max_attempts
    assert heard.first_word_at <= s.options.first_word_deadline + 1e-6


def test_one_that_was_late_in_this_reply_is_nobody_to_hurry_a_slow_voice_for() -> None:
    slow = [Step(0.2, Chunk(text="We open")), Step(3.0, Chunk(text=" at nine.")), STOP]
    s = Stage([[HANG]], [slow])
    s.connections[1] = replace(s.connections[1], hedge="never")
    [heard] = s.ask()
    assert heard.text == "We open at nine."


def test_with_no_connection_a_caller_hears_a_phrase_and_a_reader_is_told_why() -> None:
    assert "sorry" in Stage().ask()[0].text
    with pytest.raises(ReplyFailedError, match="no connection is set up"):
        Stage().ask(speech=False)


def test_a_readers_own_short_deadline_is_named_and_blames_nobody() -> None:
    s = Stage([[HANG]])
    with pytest.raises(ReplyFailedError, match="a: silent"):
        s.ask(speech=False, first_word_deadline=0.1)
    assert s.outcomes == [("a", "cancelled")]


def test_a_last_resort_asked_at_a_short_deadline_blames_none_that_it_did_not_wait_for() -> None:
    s = Stage([[HANG]], [say("No model is connected.", first=0.0)])
    s.providers[1].last_resort = True
    s.ask(first_word_deadline=0.2)
    assert s.outcomes == [("a", "lost"), ("b", "won")]
    assert "0 failed" in s.router.split("Endpoint(b")[0]


# ── Once words are out ───────────────────────────────────────────────────────────────────────────


def test_a_reader_of_text_bears_a_longer_stall_and_then_another_goes_on() -> None:
    s = Stage([[*say(HEAD, first=0.0, gap=0.0, finish=None), HANG]], [SPARE])
    [heard] = s.ask(speech=False)
    assert heard.text == ANSWER
    assert heard.at[-1] > s.options.stall
    assert heard.at[-1] < s.options.stall + 2.0


def test_a_long_text_without_punctuation_is_no_drip() -> None:
    words = " ".join(["and"] * 40)
    s = Stage([say(words, gap=0.15)], [SPARE])
    [heard] = s.ask()
    assert heard.text == words
    assert s.outcomes == [("a", "won")]


def test_words_before_a_tool_call_are_said_and_the_call_is_given_once() -> None:
    s = Stage([[*say("One moment.", finish=None), Step(0.1, CALL), STOP]], [SPARE])
    [heard] = s.ask()
    assert (heard.text, heard.tool_calls) == ("One moment.", ["get_time"])
    assert s.outcomes == [("a", "won")]


def test_words_held_back_at_a_seam_are_said_before_the_tool_call_that_follows() -> None:
    broken = [*say("I will look in", finish=None), BROKEN]
    s = Stage([broken], [[Step(0.1, Chunk(text="The")), Step(0.1, CALL), STOP]])
    [heard] = s.ask()
    assert heard.text == "I will look in the"
    assert heard.tool_calls == ["get_time"]
    assert not heard.chunks[-1].text


def test_token_counts_that_come_after_the_end_are_passed_on() -> None:
    counted = Usage(10, 20)
    s = Stage([[*say(ANSWER), Step(0.1, Chunk(usage=counted))]])
    [heard] = s.ask()
    assert [chunk.usage for chunk in heard.chunks[-2:]] == [None, counted]


def test_a_server_that_talks_on_after_the_end_is_not_listened_to() -> None:
    more = [Step(0.05, Chunk(text=" And more.", finish_reason="stop"))] * 100
    s = Stage([[*say(ANSWER), *more]])
    [heard] = s.ask()
    assert heard.text == ANSWER
    assert [c.finish_reason for c in heard.chunks if c.finish_reason] == ["stop"]
    assert s.events[0].duration < 2.0


def test_a_reader_that_stops_at_the_finish_reason_has_heard_a_whole_reply() -> None:
    s = Stage([say(ANSWER)])
    s.ask(stop_when=lambda heard: heard.chunks[-1].finish_reason is not None)
    assert s.outcomes == [("a", "won")]
    assert not s.replies[0].cancelled


def test_a_reply_cut_by_its_length_says_so() -> None:
    s = Stage([say(ANSWER, finish="length")], [SPARE])
    [heard] = s.ask()
    assert (heard.text, heard.chunks[-1].finish_reason) == (ANSWER, "length")


def test_a_continuation_that_adds_nothing_amid_a_sentence_is_passed_over() -> None:
    s = Stage([[*say(HEAD, finish=None), BROKEN]], [[STOP]], [say(REST)])
    s.providers[2].continuation = "flags"
    [heard] = s.ask()
    assert heard.text == ANSWER
    assert s.outcomes[1] == ("b", "empty")


def test_a_reply_that_lacked_only_its_finish_reason_ends_without_an_apology() -> None:
    s = Stage([[*say(ANSWER, finish=None), BROKEN]], [[Step(0.1, STOP.chunk)]])
    [heard] = s.ask()
    assert heard.text == ANSWER
    assert s.outcomes[1] == ("b", "won")


def test_a_stream_without_a_finish_reason_is_broken_and_not_stalled() -> None:
    s = Stage([say(HEAD, finish=None)], [SPARE])
    s.ask()
    assert s.outcomes[0] == ("a", "broken stream")


def test_a_reply_that_outruns_its_time_is_closed_and_blames_nobody() -> None:
    s = Stage([say(" ".join(["word,"] * 500), gap=0.1)])
    [heard] = s.ask(total_deadline=2.0)
    assert heard.at[-1] == pytest.approx(2.0, abs=1e-6)
    assert heard.chunks[-1].finish_reason == "stop"
    assert s.outcomes == [("a", "cancelled")]
    assert "0 failed" in s.router


# ── Slow and steady ──────────────────────────────────────────────────────────────────────────────


def bursts(text: str, *, words: int, pause: float) -> list[Step]:
    spoken = text.split(" ")
    pieces = [" ".join(spoken[at : at + words]) for at in range(0, len(spoken), words)]
    steps = [Step(pause if at else 0.15, Chunk(text=f"{p} ")) for at, p in enumerate(pieces)]
    return [*steps, STOP]


def test_a_server_that_sends_its_words_in_bursts_is_left_at_first_and_then_known() -> None:
    s = Stage([bursts("We open at nine on weekdays.", words=2, pause=0.5)], [SPARE])
    heard = s.ask(turns=20)
    assert ("a", "dripping") in s.outcomes[:4]
    assert {chunk.connection for turn in heard[-10:] for chunk in turn.chunks} == {"a"}
    assert {turn.text.strip() for turn in heard[-10:]} == {"We open at nine on weekdays."}
    assert "closed, 0 failed" in s.router.splitlines()[1]


def known_after_one_reply(s: Stage) -> Endpoint:
    """The first endpoint."""

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
    # Past the longest patience each time, and never silent: nobody else could be sooner.
    s = Stage([say(ANSWER, first=2.5)])
    heard = s.ask(turns=20)
    assert [turn.first_word_at for turn in heard] == [pytest.approx(2.5, abs=1e-6)] * 20
    assert {turn.text for turn in heard} == {ANSWER}
    assert "closed, 0 failed" in s.router


def test_a_slow_but_steady_server_gives_way_to_a_quick_spare_after_three_turns() -> None:
    s = Stage([say(ANSWER, first=2.5)], [SPARE])
    heard = s.ask(turns=20)
    assert [round(turn.first_word_at, 3) for turn in heard] == [0.45] * 3 + [0.2] * 17
    slow, quick = s.router.splitlines()[1:]
    assert "open until" in slow
    assert "closed, 0 failed" in quick


def test_a_slow_but_steady_server_beside_one_as_slow_still_answers() -> None:
    s = Stage([say(ANSWER, first=2.5)], [say(ANSWER, first=2.5)])
    heard = s.ask(turns=20)
    assert {turn.text for turn in heard} == {ANSWER}
    assert max(turn.first_word_at for turn in heard) <= 2.5 + 1e-6


def test_a_router_shows_its_budget_and_each_endpoint_in_a_line() -> None:
    s = Stage([say(ANSWER)], [[HANG]])
    s.ask()
    budget, *endpoints = s.router.splitlines()
    assert budget.startswith("Router(Budget(")
    assert [line.partition(",")[0] for line in endpoints] == ["Endpoint(a", "Endpoint(b"]
    assert "in flight, CircuitBreaker(closed" in endpoints[0]


# ── Barge-ins and crowds ─────────────────────────────────────────────────────────────────────────


async def ask_until(router: Router, s: Stage, seconds: float, **request: object) -> None:
    """Ask, and hang up after so long."""

    async def read() -> None:
        async with aclosing(router.stream(ChatRequest(**{**HELLO, **request}))) as reply:
            async for _ in reply:
                pass

    reading = asyncio.create_task(read())
    await asyncio.wait({reading}, timeout=seconds)
    reading.cancel()
    await asyncio.wait({reading})


def test_one_that_callers_always_interrupt_does_not_look_fast() -> None:
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
    """Preemptive generation: every new word of the caller cancels the answer to those before."""
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
    [heard] = s.ask(speech=False)
    assert heard.text == ANSWER
    assert {chunk.connection for chunk in heard.chunks} == {"a", "b"}
    assert heard.at[-1] < 3.0
