"""The invariants of every call, whatever its endpoints do. Each check yields its violations."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from llm_router.routing.events import AttemptEvent
from llm_router.routing.phrases import Phrases
from llm_router.routing.speech import ends_sentence, talking_speed
from tests.scenarios import acts
from tests.scenarios.simulation import RESORT_WORDS, Part, Record, TurnResult, Visit

_TOLERANCE = 0.001
GRACE = 1.0
"""Time that a last resort has from the deadline on (s)."""
CLOSES_WITHIN = 0.1
_USAGE_WAIT = 0.2
PAUSE = 0.08
"""Shortest pause before an endpoint that crashed is asked again (s)."""


def violations(record: Record) -> Iterator[str]:
    """Yields each violation, beginning with the name of the check."""
    for result in record.results:
        for check in OF_A_REPLY:
            for wrong in check(result, record):
                yield f"{check.__name__}: {wrong} [{result.turn.id}]"
    for check_all in OF_A_RUN:
        for wrong in check_all(record):
            yield f"{check_all.__name__}: {wrong}"


# ── What the caller hears ─────────────────────────────────────────────────────────────────────────


def something_comes_by_the_deadline(result: TurnResult, record: Record) -> Iterator[str]:
    if result.was_cut:
        return
    due = _deadline(result, record) + GRACE + _TOLERANCE
    first = next((at for at, c in result.timed if c.useful), None)
    if first is None and result.error is None:
        yield "the reply ended without a word, a tool call or an error"
    elif (result.ended_at - result.asked_at if first is None else first) > due:
        yield f"first sign after {first} s, due by {due:.3f} s"


def no_silence_is_long(result: TurnResult, record: Record) -> Iterator[str]:
    """Checks the silences within a reply too: another endpoint continues, or a phrase closes it."""
    request, options = result.turn.request, record.schedule.options
    if result.was_cut or result.turn.dawdles:
        return
    borne = options.first_word_deadline if request.speech else options.stall
    most = borne + _deadline(result, record) + GRACE
    silent_from: float | None = None
    for at, chunk in result.timed:
        if not (chunk.useful or chunk.finish_reason):
            continue
        if silent_from is not None and at - silent_from > most:
            yield f"silent for {at - silent_from:.3f} s until {at:.3f}, at most {most:.3f} s"
        talk = len(chunk.text) / talking_speed(request.language) if request.speech else 0.0
        silent_from = max(at, silent_from or 0.0) + talk


def the_words_are_the_answer(result: TurnResult, record: Record) -> Iterator[str]:
    """Checks that no word is lost, repeated or out of order, whichever endpoints say them.

    Only known phrases may be added at the end.
    """
    received = result.text
    answer = result.turn.answer
    whole = received == answer
    finish = next((c.finish_reason for c in result.chunks if c.finish_reason), None)
    if not received or whole or received in {RESORT_WORDS, _sorry(result)}:
        return
    if result.was_cut and RESORT_WORDS.startswith(received):
        return
    if any(
        received == answer[:at] + _closing(answer[:at], result) for at in range(1, len(answer) + 1)
    ):
        return
    if not answer.startswith(received):
        yield f"received {received!r} for {answer!r}"
    elif not (
        result.was_cut
        or finish in {"length", "tool_calls"}
        or _has_tool_call(result)
        or _ended_quietly(result)
    ):
        yield f"the reply ended ({finish}) after {received!r} of {answer!r}"


def it_ends_once(result: TurnResult, record: Record) -> Iterator[str]:
    """Checks that there is one finish reason, and only token counts after it."""
    ends = [i for i, chunk in enumerate(result.chunks) if chunk.finish_reason]
    if len(ends) > 1 or (not ends and not result.was_cut and not result.error):
        yield f"{len(ends)} finish reasons"
    for chunk in result.chunks[ends[0] + 1 :] if ends else ():
        if chunk.text or chunk.tool_calls or chunk.reasoning or not chunk.usage:
            yield f"{chunk} after the end"


def a_tool_call_is_given_once(result: TurnResult, record: Record) -> Iterator[str]:
    calls = [(c.connection, call.id) for c in result.chunks for call in c.tool_calls]
    if len(calls) > 1:
        yield f"tool calls {calls}"
    given_at = next((at for at, c in result.timed if c.tool_calls), None)
    if given_at is None:
        return
    for visit in result.visits:
        if visit.opened_at - result.asked_at > given_at:
            yield f"{_name(visit)} was asked after a tool call was out"
    for at, chunk in result.timed:
        if at > given_at and chunk.connection not in {calls[0][0], ""}:
            yield f"{chunk.connection} spoke after a tool call of {calls[0][0]}"


def nothing_is_raised_into_the_voice(result: TurnResult, record: Record) -> Iterator[str]:
    if result.error and result.turn.request.speech:
        yield f"raised {result.error!r} into the voice"
    if result.error and result.chunks:
        yield f"raised {result.error!r} after something was given"


def one_good_endpoint_is_enough(result: TurnResult, record: Record) -> Iterator[str]:
    """Checks that replies are whole where one endpoint always answers well and may be reached."""
    request = result.turn.request
    hurried = request.first_word_deadline is not None or request.total_deadline is not None
    if result.was_cut or hurried or not any(_is_rock(part) for part in record.schedule.parts):
        return
    finish = [c.finish_reason for c in result.chunks if c.finish_reason]
    if result.text != result.turn.answer and finish != ["length"] and not _has_tool_call(result):
        yield f"there was a good endpoint, and the caller got {result.error or result.text!r}"


def it_ends_in_time(result: TurnResult, record: Record) -> Iterator[str]:
    total = result.turn.request.total_deadline
    if total is None or result.turn.dawdles:
        return
    if result.ended_at - result.asked_at > total + GRACE + _USAGE_WAIT + _TOLERANCE:
        yield f"took {result.ended_at - result.asked_at:.3f} s of {total:.3f} s"


# ── What it costs ─────────────────────────────────────────────────────────────────────────────────


def streams_close_with_their_reply(result: TurnResult, record: Record) -> Iterator[str]:
    """Checks that streams close within 100 ms. A trial that lost may run on until it is late."""
    watched = {e.connection for e in result.attempts if e.role == "trial" and e.outcome == "lost"}
    for visit in result.visits:
        if visit.closed_at is None:
            yield f"the stream of {_name(visit)} was not closed"
        elif visit.closed_at > result.ended_at + CLOSES_WITHIN and _name(visit) not in watched:
            yield f"{_name(visit)} was closed {visit.closed_at - result.ended_at:.3f} s late"


def a_cancelled_reply_returns_at_once(result: TurnResult, record: Record) -> Iterator[str]:
    if result.was_cut and result.ended_at > result.cut_at + _TOLERANCE:
        yield f"took {result.ended_at - result.cut_at:.3f} s to be cancelled"


def each_is_asked_within_what_it_allows(result: TurnResult, record: Record) -> Iterator[str]:
    resort_may = result.asked_at + _deadline(result, record) - _TOLERANCE
    for visit in result.visits:
        connection, request = visit.part.connection, visit.request
        given = acts.given_before(request, visit.part.continuation)
        if not result.turn.answer.startswith(given) and given:
            yield f"{connection.name} was asked to continue {given!r}"
        if not connection.is_active or (request.tools and not connection.supports_tools):
            yield f"{connection.name} was asked what it cannot do"
        busy = [_name(v) for v in result.visits if _is_open(v, visit.opened_at)]
        if visit.part.last_resort and visit.opened_at < resort_may and busy:
            yield f"the last resort was asked while {busy} could still answer"
        if visit.part.last_resort and given:
            yield "the last resort was asked to go on"


def an_endpoint_is_asked_again_in_its_time_or_not_at_all(
    result: TurnResult, record: Record
) -> Iterator[str]:
    """Checks that no request follows a failure that lasts, and that one after a crash waits."""
    for at, event in zip(result.attempted_at, result.attempts, strict=True):
        if event.failure is None or event.failure.asks_for_less:
            continue
        again = event.failure.consequence.again
        opened = [v.opened_at for v in result.visits if _name(v) == event.connection]
        if event.started_at in opened:
            opened.remove(event.started_at)
        after = min((moment for moment in opened if moment >= at), default=None)
        if after is None:
            continue
        if again == "never":
            yield f"{event.connection} was asked again after {event.failure}"
        if again == "after a pause" and not event.given and after < at + PAUSE - _TOLERANCE:
            yield f"{event.connection} was asked again {after - at:.3f} s after {event.failure}"


def one_flaky_endpoint_is_enough(result: TurnResult, record: Record) -> Iterator[str]:
    """Checks that replies are whole where an endpoint answers a later request of the same reply."""
    request = result.turn.request
    hurried = request.first_word_deadline is not None or request.total_deadline is not None
    flaky = any(part.character == "flaky" for part in record.schedule.parts)
    given = [0.0, *(at for at, chunk in result.timed if chunk.useful or chunk.finish_reason)]
    pause = max((after - before for before, after in pairwise(given)), default=0.0)
    if result.was_cut or hurried or not flaky or pause > _deadline(result, record):
        return
    if result.text != result.turn.answer:
        yield f"the third request was answered well, and the caller got {result.text!r}"


def attempts_are_few(result: TurnResult, record: Record) -> Iterator[str]:
    options = record.schedule.options
    asked = [event for event in result.attempts if event.role != "trial"]
    resumes = result.replies[0].resumes if result.replies else 0
    resorts = sum(part.last_resort for part in record.schedule.parts)
    if len(asked) > options.max_attempts + resumes + resorts:
        yield f"{len(asked)} attempts, {resumes} resumes"
    if resumes > options.max_resumes:
        yield f"{resumes} resumes of {options.max_resumes}"
    for connection in (part.connection for part in record.schedule.parts):
        again = sum(_name(visit) == connection.name for visit in result.visits) - 1
        if connection.max_retries is not None and again > connection.max_retries:
            yield f"{connection.name} was asked again {again} times of {connection.max_retries}"
    never = {p.connection.name for p in record.schedule.parts if p.connection.hedge == "never"}
    for event in asked:
        if event.role == "hedge" and event.connection in never:
            yield f"{event.connection} was asked beside another"


def hedges_are_paid_for(record: Record) -> Iterator[str]:
    hedges = sum(e.role == "hedge" for result in record.results for e in result.attempts)
    allowed = 3 + record.schedule.options.hedge_budget * len(record.results)
    if hedges > allowed + _TOLERANCE:
        yield f"{hedges} hedges, {allowed:.2f} allowed"


def nothing_is_left_behind(record: Record) -> Iterator[str]:
    if record.unclosed or record.tasks_left:
        yield f"{record.unclosed} streams open, {record.tasks_left} tasks"
    for endpoint in record.endpoints:
        if endpoint.in_flight:
            yield f"{endpoint.name} has {endpoint.in_flight} in flight"


def breakers_blame_no_innocent(record: Record) -> Iterator[str]:
    """Checks that a caller's fault, a barge-in or a lost race never counts against an endpoint."""
    for part, endpoint in zip(record.schedule.parts, record.endpoints, strict=True):
        if part.character == "innocent" and repr(endpoint.breaker) != _BLAMELESS:
            yield f"{endpoint!r}"


# ── What is reported ──────────────────────────────────────────────────────────────────────────────


def every_attempt_is_reported_once(result: TurnResult, record: Record) -> Iterator[str]:
    if not result.visits and not result.attempts and result.was_cut:
        return  # cancelled before it began
    reported = Counter(event.connection for event in result.attempts)
    visited = Counter(_name(visit) for visit in result.visits)
    if missing := visited - reported:
        yield f"{missing} asked and not reported"
    if len(result.replies) != 1:
        yield f"{len(result.replies)} reply events"
    elif result.replies[0].attempts != len(result.attempts):
        yield f"{result.replies[0].attempts} attempts, {len(result.attempts)} reported"
    for event in result.attempts:
        ended_by_us = event.outcome in {"won", "lost", "cancelled"}
        if ended_by_us != (event.failure is None):
            yield f"outcome {event.outcome} with {event.failure}"
    yield from _roles(result.attempts)


def _roles(attempts: list[AttemptEvent]) -> Iterator[str]:
    if attempts and [e.role for e in attempts].count("first") != 1:
        yield f"roles {[e.role for e in attempts]}"


def the_report_is_what_was_received(result: TurnResult, record: Record) -> Iterator[str]:
    for event in result.replies:
        finished = any(chunk.finish_reason for chunk in result.chunks) or result.error is not None
        if event.cancelled == finished:
            yield f"reported cancelled={event.cancelled}"
        if not result.was_cut and event.characters != len(result.text):
            yield f"{event.characters} characters reported, {len(result.text)} received"
        first = next((at for at, c in result.timed if c.useful), None)
        if first is not None and (
            event.first_word is None or abs(event.first_word - first) > _TOLERANCE
        ):
            yield f"first word after {event.first_word} s reported, {first:.3f} s received"
        won = [e.connection for e in result.attempts if e.outcome == "won"]
        last = result.chunks[-1].connection if result.chunks else ""
        should = [last] if last and not _ended_quietly(result) else []
        if not event.cancelled and not (won == should and event.connection == last):
            yield f"{last!r} spoke last; {won} won, {event.connection!r} reported"


Check = Callable[[TurnResult, Record], Iterator[str]]
OF_A_REPLY: tuple[Check, ...] = (
    something_comes_by_the_deadline,
    no_silence_is_long,
    the_words_are_the_answer,
    it_ends_once,
    a_tool_call_is_given_once,
    nothing_is_raised_into_the_voice,
    one_good_endpoint_is_enough,
    one_flaky_endpoint_is_enough,
    it_ends_in_time,
    streams_close_with_their_reply,
    a_cancelled_reply_returns_at_once,
    each_is_asked_within_what_it_allows,
    an_endpoint_is_asked_again_in_its_time_or_not_at_all,
    attempts_are_few,
    every_attempt_is_reported_once,
    the_report_is_what_was_received,
)
OF_A_RUN: tuple[Callable[[Record], Iterator[str]], ...] = (
    hedges_are_paid_for,
    nothing_is_left_behind,
    breakers_blame_no_innocent,
)

_BLAMELESS = "CircuitBreaker(closed, 0 failed in a row)"


def _deadline(result: TurnResult, record: Record) -> float:
    """Returns the seconds from the question within which a caller is promised a word."""
    request, options = result.turn.request, record.schedule.options
    usual = options.first_word_deadline if request.speech else options.text_deadline
    asked = usual if request.first_word_deadline is None else request.first_word_deadline
    return min(asked, request.total_deadline or options.total)


def _ended_quietly(result: TurnResult) -> bool:
    """Whether no endpoint finished it and none added to its whole sentences: no apology is owed."""
    speakers = sum(event.given > 0 for event in result.attempts)
    has_winner = any(event.outcome == "won" for event in result.attempts)
    return ends_sentence(result.text) and speakers == 1 and not has_winner


def _closing(given: str, result: TurnResult) -> str:
    return Phrases().closing(given, result.turn.request.language)


def _sorry(result: TurnResult) -> str:
    return Phrases().pick("sorry", result.turn.request.language, 0)


def _has_tool_call(result: TurnResult) -> bool:
    return any(chunk.tool_calls for chunk in result.chunks)


def _name(visit: Visit) -> str:
    return visit.part.connection.name


def _is_rock(part: Part) -> bool:
    return part.character == "rock"


def _is_open(visit: Visit, at: float) -> bool:
    ended = visit.closed_at is not None and visit.closed_at <= at
    return visit.opened_at < at and not ended and not visit.part.last_resort
