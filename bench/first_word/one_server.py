"""Defines the cases and the goals for one model server that fails in three requests of ten.

Most failures are of one request: a pod restarted, a proxy reset, a queue lost it. So no two in a
row fail, except in the cases named `_by_chance`.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from bench.first_word.cases import HEALTHY, Case
from bench.first_word.contender_process import Callers
from bench.first_word.goals import COLD, WARM
from bench.first_word.turn import Row
from bench.report.goals import Goal
from bench.servers.reply import REPLY
from llm_router.testing.server import Fault

CALLERS = Callers(at_once=1, patience=12.0, limit=15.0)
"""One at a time, so that two requests in a row are of one reply. More patient than the time limit
of LiveKit's plugin, which is 10 s."""
_SEED = 2026
_TENS = 10
_STRIKES = 3
"""Faulty requests of every ten."""
RETRY_AFTER = 1
"""Seconds after which a rate-limited server may be asked again."""
_BEGIN = [word if place == 0 else f" {word}" for place, word in enumerate(REPLY.split()[:12])]


def apart(seed: int) -> Sequence[bool]:
    """Returns a hundred requests, three faulty of every ten, each followed by a healthy one."""
    rng = Random(seed)
    pattern: list[bool] = []
    for _ in range(_TENS):
        struck = set(rng.sample(range(_TENS - _STRIKES), _STRIKES))
        for place in range(_TENS - _STRIKES):
            pattern += [True, False] if place in struck else [False]
    return pattern


def by_chance(seed: int) -> Sequence[bool]:
    """Returns a hundred requests, thirty of them faulty, in any order."""
    pattern = [place < _TENS * _STRIKES for place in range(_TENS * _TENS)]
    Random(seed).shuffle(pattern)
    return pattern


_APART = apart(_SEED)
_BY_CHANCE = by_chance(_SEED)


def _fault(
    name: str, title: str, fault: Fault, pattern: Sequence[bool] = _APART, **changes: Any
) -> Case:
    primary = {"fault": fault, **changes}
    return Case(name=name, title=title, primary=primary, pattern=pattern, servers=1)


_QUICK = (
    _fault("status_500", "HTTP 500", Fault.STATUS, status=500),
    _fault("status_503", "HTTP 503", Fault.STATUS, status=503),
    _fault("refused", "reset before a byte", Fault.REFUSE),
    _fault("reset_first", "reset before a word", Fault.RESET_BEFORE_WORD),
    _fault("empty", "an empty reply", Fault.EMPTY),
    _fault("reset", "reset after twelve words", Fault.RESET_AFTER),
    _fault("no_finish", "ends after twelve words", Fault.NO_FINISH_REASON, words=_BEGIN),
    _fault("garbage", "a garbled line after twelve words", Fault.GARBAGE_LINE),
    _fault("error_event", "an error in the 200, after twelve words", Fault.ERROR_EVENT),
)
_DRIP = _fault("drip", "a word a second", Fault.DRIP)
_SILENT = (
    _fault("hang", "hangs before headers", Fault.HANG_BEFORE_HEADERS),
    _fault("keep_alives", "keep-alives, never a word", Fault.KEEP_ALIVES_ONLY),
    _DRIP,
)
_LATER = _fault(
    "status_429_later",
    f"HTTP 429, to be asked again in {RETRY_AFTER} s",
    Fault.STATUS,
    status=429,
    retry_after=str(RETRY_AFTER),
)
_BOTH = Case(
    name="reset_both",
    title="two servers, reset at words 10 and 30",
    primary={"fault": Fault.RESET_AFTER, "after": 10},
    spare={"fault": Fault.RESET_AFTER, "after": 20},
    pattern=(True, False),
    every_turn=True,
)
"""Each server breaks off once in every reply: the first after ten words, the second after twenty
more."""
_IN_A_ROW = (
    _fault("status_500_by_chance", "HTTP 500, by chance", Fault.STATUS, _BY_CHANCE, status=500),
    _fault("empty_by_chance", "an empty reply, by chance", Fault.EMPTY, _BY_CHANCE),
    _fault("reset_by_chance", "reset after twelve words, by chance", Fault.RESET_AFTER, _BY_CHANCE),
    _fault("hang_by_chance", "hangs, by chance", Fault.HANG_BEFORE_HEADERS, _BY_CHANCE),
)
_CONTROL = Case(name=HEALTHY.name, title=HEALTHY.title, servers=1)
CASES = (_CONTROL, *_QUICK, *_SILENT, _LATER, _BOTH, *_IN_A_ROW)


def row_goals(row: Row) -> list[Goal]:
    """Returns the goals of one row; none for the peers.

    A cold router cannot know whether its only server drips or is always as slow: there the goal is
    an aim.
    """
    if row.contender not in {COLD, WARM}:
        return []
    case = row.case
    goals = [Goal("repetitions", row.repeats, 0)]
    if case in (*_QUICK, *_SILENT, _LATER, _BOTH, _CONTROL):
        broken = 100 * sum(not turn.is_whole for turn in row.turns) / len(row.turns)
        allowed = 1 if case in _SILENT else 0
        required = case != _DRIP or row.contender == WARM
        goals.insert(0, Goal("broken replies", broken, allowed, "%", required=required))
    if case in _QUICK:
        goals.append(Goal("p95", row.first_word(0.95), 0.45, "s"))
    if case in _SILENT and row.contender == WARM:
        goals.append(Goal("p95", row.first_word(0.95), 0.6, "s"))
    if case is _CONTROL:
        goals.append(Goal("words", row.cost, 1.05))
    return goals
