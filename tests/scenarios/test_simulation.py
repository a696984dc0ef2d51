"""Two thousand calls drawn at random: whatever their endpoints do, the invariants hold.

A thousand notice every mutation of `mutations.py`; `make fuzz` draws ten thousand.

SIMULATION_SEED draws other calls, SIMULATION_SCHEDULES more or fewer of them, and SIMULATION_ONLY
plays a single one again: the number that a failure names.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator

import pytest

from llm_router.failures import FailureClass
from tests.scenarios import acts
from tests.scenarios.invariants import violations
from tests.scenarios.simulation import Record, describe, draw, play

SEED = os.environ.get("SIMULATION_SEED", "2026")
SCHEDULES = int(os.environ.get("SIMULATION_SCHEDULES", "2000"))
ONLY = os.environ.get("SIMULATION_ONLY", "")
BATCH = 500


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Silences the log of a hundred thousand deliberate failures."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def played(number: int) -> Record:
    return play(draw(f"{SEED}/{number}"))


@pytest.mark.parametrize("batch", range(0, SCHEDULES, BATCH))
def test_whatever_happens_the_invariants_hold(batch: int) -> None:
    numbers = range(batch, min(batch + BATCH, SCHEDULES))
    if ONLY:
        numbers = range(int(ONLY), int(ONLY) + 1) if int(ONLY) in numbers else range(0)
    for number in numbers:
        record = played(number)
        if wrong := list(violations(record)):
            pytest.fail(
                "\n".join([*wrong, "", describe(record)])
                + f"\n\nTo see it again: SIMULATION_SEED={SEED} SIMULATION_ONLY={number}",
                pytrace=False,
            )


def test_a_seed_plays_the_same_call_every_time() -> None:
    assert describe(played(7)) == describe(played(7))
    assert describe(played(7)) != describe(played(8))


def test_every_kind_of_fault_outcome_and_reader_is_drawn() -> None:
    seen: Counter[str] = Counter()
    for number in range(400):
        record = played(number)
        seen.update(part.character for part in record.schedule.parts)
        seen.update(f"last resort {part.last_resort}" for part in record.schedule.parts)
        seen.update(act.fault for part in record.schedule.parts for act in part.acts)
        seen.update("open" for e in record.endpoints if e.breaker.generation)
        for result in record.results:
            seen.update([f"speech {result.turn.request.speech}", f"cut {result.was_cut}"])
            seen.update(f"raised {type(result.error).__name__}" for _ in (1,) if result.error)
            seen.update(f"role {event.role}" for event in result.attempts)
            seen.update(f"outcome {event.outcome}" for event in result.attempts)
            seen.update(f"resumes {reply.resumes}" for reply in result.replies)
            seen.update(f"last resort spoke {reply.last_resort}" for reply in result.replies)
            seen.update("tool call" for chunk in result.chunks if chunk.tool_calls)
    wanted = {
        *acts.ALL,
        "innocent",
        "rock",
        "flaky",
        "any",
        "last resort True",
        "open",
        "tool call",
    }
    wanted |= {"speech True", "speech False", "cut True", "cut False", "raised ReplyFailedError"}
    wanted |= {
        f"role {role}" for role in ("first", "hedge", "failover", "retry", "resume", "trial")
    }
    wanted |= {f"outcome {kind}" for kind in FailureClass if kind != FailureClass.CANCELLED}
    wanted |= {"outcome won", "outcome lost", "outcome cancelled"}
    wanted |= {"resumes 0", "resumes 1", "resumes 2", "last resort spoke True"}
    assert wanted - set(seen) == set()
