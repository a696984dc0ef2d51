"""The simulated day: its traffic, the real router in it, and the peers as their sources say."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bench.outage.clock import SwiftClock
from bench.outage.contenders import BUDGETS, CONTENDERS, DEFAULT, budget_name
from bench.outage.day import PROMPTS, SECONDS, SERVERS, Day, Fault, Outcome, Question
from bench.outage.page import Run, days_table, make_page
from bench.outage.saved_days import SavedDays
from bench.outage.server import Bill
from bench.outage.simulation import ASK_AGAIN_AFTER, HANG_UP_AFTER, PAUSE, Figures, simulate
from llm_router.testing import ManualClock

FIRST_WORDS = [0.15, 0.2, 0.4, 0.5, 0.6]


class Staged(Day):
    """Questions a minute apart; servers have fixed times, and the given faults."""

    def __init__(self, faults: Mapping[int, Fault], questions: int = 1) -> None:
        super().__init__(questions)
        self._faults = faults

    def questions(self) -> Iterator[Question]:
        for number in range(self.replies):
            yield Question(number, 60.0 * number, number, PROMPTS[0], words=20, clause=5)

    def rate(self, server: int) -> float:
        return 0.0

    def outcome(self, question: Question, server: int, retry: int, now: float) -> Outcome:
        return Outcome(FIRST_WORDS[server], 0.02, self._faults.get(server, "none"), 0.5)


def day_of(contender: str, faults: Mapping[int, Fault], questions: int = 1) -> Figures:
    return simulate(contender, CONTENDERS[contender], Staged(faults, questions), SwiftClock())


# ── The day ──────────────────────────────────────────────────────────────────────────────────────


def test_the_same_seed_is_the_same_day_and_another_seed_another() -> None:
    assert list(Day(200, 5).questions()) == list(Day(200, 5).questions())
    assert list(Day(200, 5).questions()) != list(Day(200, 6).questions())


def test_questions_come_in_order_and_more_of_them_in_the_rush_than_at_night() -> None:
    hours = [question.at / 3600 for question in Day(5_000).questions()]
    assert len(hours) == 5_000
    assert hours == sorted(hours)
    assert hours[-1] < 24
    at_night = sum(2 <= hour < 4 for hour in hours)
    assert sum(9 <= hour < 11 for hour in hours) > 4 * at_night > 0


def test_luck_belongs_to_a_question_and_a_server_and_not_to_the_order_of_asking() -> None:
    one, other = Day(5_000), Day(5_000)
    questions = list(one.questions())
    forwards = [one.outcome(q, 2, 0, 43_200.0) for q in questions]
    backwards = [other.outcome(q, 2, 0, 43_200.0) for q in reversed(questions)]
    assert forwards == backwards[::-1]
    assert one.outcome(questions[7], 1, 0, 0.0) != one.outcome(questions[7], 1, 1, 0.0)


def test_servers_of_a_vendor_are_slow_together() -> None:
    day = Day(1_000)
    question = next(iter(day.questions()))
    moments = range(0, int(SECONDS), 60)
    slow = [
        [day.outcome(question, s, 0, m).pace > 1.5 * SERVERS[s].pace for m in moments]
        for s in (0, 1)
    ]
    together = sum(a and b for a, b in zip(*slow, strict=True))
    assert 10 < together < len(moments) / 2


# ── The router ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("contender", ["latency", "p2c", "LiteLLM, 1 s"])
def test_a_day_on_the_swift_clock_is_the_day_on_the_jumping_clock(contender: str) -> None:
    swift = simulate(contender, CONTENDERS[contender], Day(400), SwiftClock())
    jumping = simulate(contender, CONTENDERS[contender], Day(400), ManualClock())
    assert list(swift.first_words) == pytest.approx(list(jumping.first_words), abs=1e-6)
    assert (swift.before, swift.within) == pytest.approx((jumping.before, jumping.within), abs=1e-4)
    assert (swift.bill.requests, swift.whole) == (jumping.bill.requests, jumping.whole)
    assert swift.bill.cost == pytest.approx(
        jumping.bill.cost
    )  # so the same servers said the same words
    assert swift.bill.requests > 400  # and there was something to fail over


def test_the_router_leaves_a_hung_server_and_the_reply_is_whole() -> None:
    figures = day_of("latency", {0: "hangs"})
    assert list(figures.first_words) == pytest.approx([0.25 + 0.2])  # its prior for a hedge
    assert (figures.whole, figures.bill.requests) == (1, 2)


def test_the_router_resumes_a_reply_that_broke_off() -> None:
    figures = day_of("latency", {0: "breaks"})
    assert (figures.whole, figures.silence) == (1, 0.0)
    assert figures.received == figures.bill.generated == 20


def test_every_question_of_a_bad_day_is_counted() -> None:
    figures = simulate("latency", CONTENDERS["latency"], Day(1_000), SwiftClock())
    assert figures.replies == 1_000
    assert 0 < figures.whole <= 1_000
    assert figures.bill.requests >= 1_000
    assert figures.bill.cost >= figures.cheapest * figures.whole / 1_000


# ── The peers ────────────────────────────────────────────────────────────────────────────────────


def test_fallback_adapter_waits_for_its_timeout_once_then_leaves_the_server_out() -> None:
    figures = day_of("FallbackAdapter", {0: "hangs"}, 2)
    assert list(figures.first_words) == pytest.approx([0.2, 5.0 + 0.2])
    # Each question but one is asked once; a probe is sent after each.
    assert figures.bill.requests == 2 + 3


def test_fallback_adapter_loses_a_reply_that_broke_off() -> None:
    figures = day_of("FallbackAdapter, 1 s", {0: "breaks"})
    assert figures.whole == 0
    assert figures.within == pytest.approx(ASK_AGAIN_AFTER)


def test_an_empty_reply_is_an_answer_to_fallback_adapter() -> None:
    figures = day_of("FallbackAdapter", {0: "empty"})
    assert list(figures.first_words) == [float("inf")]
    assert figures.before == pytest.approx(HANG_UP_AFTER - PAUSE)


def test_pydantic_ai_waits_for_a_silent_server_unless_a_setting_limits_it() -> None:
    assert list(day_of("pydantic-ai", {0: "hangs"}).first_words) == [float("inf")]
    assert list(day_of("pydantic-ai, 1 s", {0: "hangs"}).first_words) == pytest.approx([1.0 + 0.2])


def test_pydantic_ai_tries_a_server_that_errs_three_times_before_the_next() -> None:
    figures = day_of("pydantic-ai", {0: "503"})
    assert list(figures.first_words) == pytest.approx([3 * 0.06 + 1.5 * 0.875 + 0.2])
    assert figures.bill.requests == 4


def test_litellm_tries_at_most_three_servers() -> None:
    everyone: dict[int, Fault] = dict.fromkeys(range(5), "503")
    assert day_of("LiteLLM", everyone).bill.requests == 3


def test_litellm_by_latency_stays_with_the_fastest_once_all_are_known() -> None:
    figures = day_of("LiteLLM by latency, 1 s", {}, 20)
    assert list(figures.first_words) == pytest.approx([0.15] * 16 + FIRST_WORDS[1:])


def test_one_provider_is_asked_again_and_again() -> None:
    figures = day_of("one provider", {0: "503"})
    assert list(figures.first_words) == [float("inf")]
    assert figures.bill.requests == 4


# ── Silence and cost ────────────────────────────────────────────────────────────────────────────


def test_a_drip_sounds_like_silence() -> None:
    figures = day_of("one provider", {0: "drips"})
    assert figures.before == pytest.approx(0.15 + 4 * 1.0 - PAUSE)
    # The next clause would take ten words: long before, the caller speaks.
    assert figures.within == pytest.approx(ASK_AGAIN_AFTER)


def test_a_server_is_paid_for_the_words_it_made_until_it_was_left() -> None:
    dripped = day_of("latency", {0: "drips"})
    assert dripped.whole == 1
    # A drip gives two or three words before it is left, and the next server only the rest.
    assert 20 <= dripped.bill.generated <= 21


def test_a_refusal_costs_nothing() -> None:
    assert day_of("latency", {0: "503"}).bill.cost == pytest.approx(
        day_of("latency", {0: "refused"}).bill.cost
    )


# ── Saved days ───────────────────────────────────────────────────────────────────────────────────


def a_day(contender: str, replies: int) -> Figures:
    waits = [0.25] * (replies - 1) + [math.inf]
    return Figures(contender, waits, 1.5, 0.5, replies, 60, Bill(4, 61, 0.002), 0.001)


def test_a_saved_day_is_the_day_that_was_simulated(tmp_path: Path) -> None:
    saved, simulated = SavedDays(tmp_path, seed=1), a_day("latency, hedges 0%", 3)
    saved.save(simulated)
    found = saved.find("latency, hedges 0%", 3)
    assert found is not None
    assert list(found.first_words) == simulated.first_words
    assert (found.bill, found.silence, found.lost) == (
        simulated.bill,
        simulated.silence,
        simulated.lost,
    )
    assert saved.find("latency, hedges 0%", 4) is None
    assert SavedDays(tmp_path, seed=2).find("latency, hedges 0%", 3) is None


def test_of_several_days_the_longest_is_shown(tmp_path: Path) -> None:
    saved = SavedDays(tmp_path, seed=1)
    assert saved.longest("p2c") is None
    for replies in (9, 100, 20):
        saved.save(a_day("p2c", replies))
    longest = saved.longest("p2c")
    assert longest is not None
    assert longest.replies == 100


# ── The page ─────────────────────────────────────────────────────────────────────────────────────


def test_the_page_shows_every_contender_and_the_chosen_budget(tmp_path: Path) -> None:
    days = [
        Figures(name, [0.3, 0.4, 2.5], 1.0 + place, 0.1, 3, 60, Bill(4, 61, 0.002), 0.001)
        for place, name in enumerate(CONTENDERS)
    ]
    page = tmp_path / "outage.md"
    make_page(Run(days, 1)).write(tmp_path)
    shown = page.read_text(encoding="utf-8")
    assert page.with_suffix(".png").stat().st_size > 0
    assert f"**{DEFAULT:.0%}**" in shown
    assert "| LiteLLM | 3 |" in shown, "how many replies its day had"
    for name in CONTENDERS:
        assert f"| {name} |" in shown or any(name == budget_name(b) for b in BUDGETS)
        assert name in days_table(days).text
