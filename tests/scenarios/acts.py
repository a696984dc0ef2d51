"""Acts: everything an endpoint may do to one request, every known fault at any moment.

All endpoints know the same answer to a question, so that a lost or repeated word is found exactly,
whichever endpoints said the words.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from llm_router.connections.record import Continuation
from llm_router.errors import BrokenStreamError, StatusError, UnreachableError
from llm_router.testing import HANG, Step
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage

_WORDS = (
    *("amber", "basil", "cedar", "dahlia", "ember", "fennel", "ginger", "hazel"),
    *("indigo", "jasmine", "kelp", "lemon", "maple", "nutmeg", "olive", "pepper"),
    *(
        "quince",
        "rosemary",
        "saffron",
        "thyme",
        "umber",
        "violet",
        "walnut",
        "xenon",
        "yarrow",
        "zinnia",
    ),
)
_UNSPACED = "山川海空花鳥風月雪星森林道橋門窓石火水木金土"

_THINKS = [Step(0.2, Chunk(reasoning="hm "))] * 60
_BROKEN = BrokenStreamError("broke off")

BEFORE: Mapping[str, Sequence[Step]] = {
    "refused": [Step(error=UnreachableError("refused"))],
    "hang": [HANG],
    "role only": [Step(0.05, Chunk()), HANG],
    "reasoning only": [*_THINKS, HANG],
    "loading": [Step(0.05, Chunk(loading=True)), HANG],
    "blanks only": [*[Step(0.3, Chunk(text=" "))] * 40, HANG],
    "500": [Step(0.02, error=StatusError(500))],
    "503, retry after": [Step(0.02, error=StatusError(503, retry_after=3.0))],
    "429": [Step(0.02, error=StatusError(429))],
    "429, retry after": [Step(0.02, error=StatusError(429, retry_after=5.0))],
    "401": [Step(0.02, error=StatusError(401))],
    "402": [Step(0.02, error=StatusError(402))],
    "405": [Step(0.02, error=StatusError(405))],
    "404": [Step(0.02, error=StatusError(404))],
    "too long": [Step(0.02, error=StatusError(400, code="context_length_exceeded"))],
    "bad request": [Step(0.02, error=StatusError(400))],
    "refused content": [Step(0.02, error=StatusError(400, code="content_filter"))],
    "reset": [Step(0.05, error=UnreachableError("reset"))],
    "empty": [Step(0.1, Chunk(finish_reason="stop"))],
    "blank": [Step(0.1, Chunk(text=" \n")), Step(0.0, Chunk(finish_reason="stop"))],
    "length with nothing": [Step(0.1, Chunk(finish_reason="length"))],
    "filtered": [Step(0.1, Chunk(finish_reason="content_filter"))],
    "error in a 200": [Step(0.1, error=StatusError(0))],
    "half a tool call": [Step(0.2, error=BrokenStreamError("cut inside a tool call"))],
    "bug": [Step(0.02, error=ZeroDivisionError("a fault of ours"))],
}
"""Faults before the first word."""

_SAYS_NOTHING = ("empty", "blank")

AMID: Mapping[str, Sequence[Step]] = {
    "breaks": [Step(0.02, error=_BROKEN)],
    "breaks late": [Step(0.6, error=_BROKEN)],
    "stalls": [HANG],
    "stalls thinking": [*_THINKS, HANG],
    "error event": [Step(0.02, error=StatusError(0, detail="out of memory"))],
    "ends without a reason": [],
    "bug amid": [Step(0.02, error=ZeroDivisionError("a fault of ours"))],
    "cut by length": [Step(0.02, Chunk(finish_reason="length"))],
}
"""Faults after some words, or before the first."""

_USED = Chunk(usage=Usage(10, 20, 0))
_STOP = Step(0.0, Chunk(finish_reason="stop"))
AFTER: Mapping[str, Sequence[Step]] = {
    "none": [_STOP],
    "usage after": [_STOP, Step(0.05, _USED)],
    "usage within": [Step(0.0, Chunk(finish_reason="stop", usage=_USED.usage))],
    "hang after": [_STOP, HANG],
    "break after": [_STOP, Step(0.02, error=_BROKEN)],
    "talk after": [_STOP, *[Step(0.05, Chunk(text="and more", finish_reason="stop"))] * 99],
}
"""Behaviour after the last word; none of it harms the reply."""

TOOL: Mapping[str, Sequence[Step]] = {
    "tool call": [Step(0.02, Chunk(finish_reason="tool_calls"))],
    "tool call, then breaks": [Step(0.02, error=_BROKEN)],
    "tool call, then stalls": [HANG],
    "tool call, then ends": [],
}
"""Behaviour after a tool call, which comes after some words or before the first."""

_ENDS = {**AMID, **AFTER, **TOOL}
_SLOW = {"slow": 2.5, "tail": 4.0}
ALL = (*BEFORE, *AMID, *AMID, *AFTER, *AFTER, *TOOL, *TOOL, *_SLOW, "drip", *["none"] * 8)
CALLERS_FAULTS = ("too long", "bad request", "refused content", "filtered")
INNOCENT = (*AFTER, *AFTER, *CALLERS_FAULTS, "tool call")
PASSING = (
    *("refused", "hang", "role only", "reasoning only", "blanks only", "500", "503, retry after"),
    *("reset", "empty", "blank", "length with nothing", "error in a 200", "half a tool call"),
    *("breaks", "breaks late", "stalls", "stalls thinking", "error event", "ends without a reason"),
)
"""Faults of one request: the same endpoint may answer the next."""

_Style = str
_STYLES: Mapping[_Style, Callable[[str, int], str]] = {
    "goes on": lambda answer, at: answer[at:],
    "starts over": lambda answer, _: answer,
    "repeats a sentence": lambda answer, at: answer[_sentence_start(answer, at) :],
    "sure": lambda answer, at: "Sure, continuing: " + answer[at:],
    "of course": lambda answer, at: "Of course! Here is the rest: " + answer[at:],
}
"""Ways in which an endpoint that is asked in words continues from a place in the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """The behaviour at one request.

    `first`, `gap`: seconds to the first chunk and between chunks. `cut`: words before the fault.
    `style`: how it continues. `pieces`: words come in halves.
    """

    fault: str
    first: float
    gap: float
    cut: int
    style: _Style
    opening: tuple[Chunk, ...]
    pieces: bool


def flips(share: float, count: int) -> list[bool]:
    """Returns the same draws every time, a share of them true."""
    rng = Random(5)
    return [rng.random() < share for _ in range(count)]


def draw(rng: Random, faults: Sequence[str]) -> Act:
    fault = rng.choice(faults)
    blank, role, thought = Chunk(text=" "), Chunk(), Chunk(reasoning="well")
    return Act(
        fault=fault,
        first=_SLOW.get(fault, rng.uniform(0.02, 0.5)),
        gap=rng.choice([0.0, 0.02, 0.02, 0.1, 0.3]),
        cut=rng.choice([0, 1, 2, 5, 9, 15]),
        style=rng.choice(list(_STYLES)),
        opening=rng.choice([(), (role,), (role, thought), (blank,)]),
        pieces=rng.random() < 0.2,
    )


def answer(rng: Random) -> str:
    """Returns different words, so that a repeated one is noticed; sometimes without spaces."""
    if rng.random() < 0.1:
        return "".join(rng.sample(_UNSPACED, rng.randint(3, 20))) + "。"
    chosen = rng.sample(_WORDS, rng.randint(1, len(_WORDS)))
    if rng.random() < 0.15:
        return " ".join(chosen) + "."
    ends = [rng.choice(["", "", "", ",", "."]) for _ in chosen]
    ends[-1] = "."
    starts = [True, *(end == "." for end in ends)]
    return " ".join(
        (word.capitalize() if start else word) + end
        for word, end, start in zip(chosen, ends, starts, strict=False)
    )


def words(text: str, first: float = 0.0) -> Iterator[Step]:
    for index, token in enumerate(_tokens(text, pieces=False)):
        yield Step(first if index == 0 else 0.0, Chunk(text=token))
    yield _STOP


def perform(
    act: Act, whole: str, request: ChatRequest, continuation: Continuation, call_id: str
) -> Iterator[Step]:
    said = _what_is_left(act, whole, request, continuation)
    for chunk in act.opening:
        if not (
            chunk.text and given_before(request, continuation)
        ):  # one blank too many amid words
            yield Step(0.0, chunk)
    if act.fault in BEFORE:
        given = given_before(request, continuation)
        # An empty answer to a request to continue may mean that nothing was missing.
        yield from BEFORE["reset" if given and act.fault in _SAYS_NOTHING else act.fault]
        return
    if act.fault == "ends without a reason" and not act.cut and given_before(request, continuation):
        yield from BEFORE["reset"]  # for the same reason
        return
    strikes = act.fault in AMID or act.fault in TOOL
    gap = act.gap
    for index, token in enumerate(_tokens(said, pieces=act.pieces)):
        if index == act.cut:
            if strikes:
                break
            gap = 1.0 if act.fault == "drip" else gap
        yield Step(act.first if index == 0 else gap, Chunk(text=token))
    if act.fault in TOOL:
        yield Step(act.first, Chunk(tool_calls=(ToolCall(call_id, "lookup", "{}"),)))
    yield from _ENDS.get(act.fault, [_STOP])


def _what_is_left(act: Act, whole: str, request: ChatRequest, continuation: Continuation) -> str:
    given = given_before(request, continuation)
    if not given:
        return whole
    # A stream cut amid a repetition does not show the words that it would have said.
    style = "goes on" if act.fault in TOOL or act.fault == "cut by length" else act.style
    if continuation != "words":
        # Providers send the prefix without its last space; some servers repeat the words before it.
        return whole if style == "starts over" else whole[len(given.rstrip()) :]
    at = len(given)
    while (
        0 < at < len(whole) and whole[at - 1].isalpha() and whole[at].isalpha() and whole.isascii()
    ):
        at -= 1  # it repeats from its beginning a word that was cut
    return _STYLES[style](whole, at).lstrip()


def given_before(request: ChatRequest, continuation: Continuation) -> str:
    """Returns the words that the request says were given out already."""
    if continuation != "words":
        return request.prefix
    return str(request.messages[-2]["content"]) if len(request.messages) > 1 else ""


def _sentence_start(text: str, at: int) -> int:
    return max((m.end() for m in re.finditer(r"\. |。", text[:at].rstrip(". 。"))), default=0)


def _tokens(text: str, *, pieces: bool) -> Iterator[str]:
    for token in re.findall(r"\s*\w+\W?(?=\s|$)|\s*\w[^\w\s]?|\s+", text):
        if pieces and len(token) > 4:
            yield token[:3]
            yield token[3:]
        else:
            yield token
