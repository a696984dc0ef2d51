"""Throws bytes at random at the parsers of replies and at the seam of two halves of a reply.

No exception but a classified one, however the bytes are cut, and work that grows with the length of
the input alone. A few thousand cases by themselves; `make fuzz` throws a hundred thousand.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_router.classification import classify
from llm_router.connections.record import Continuation
from llm_router.errors import UpstreamError
from llm_router.failures import FailureClass
from llm_router.providers._wire.arguments import object_text
from llm_router.providers._wire.limits import EVENT, WRITTEN_CALL
from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.markers import MARKERS
from llm_router.providers._wire.tools import OfferedTools
from llm_router.providers._wire.written_calls import written_calls
from llm_router.routing.resume import Seam
from tests.attacks.heartbeat import no_collection_of_older_objects, processor_time
from tests.contracts.wire_parsing import TOOL, cut, parser_of

WIRES = ("openai_compatible", "ollama")
HOWS: tuple[Continuation, ...] = ("words", "flags")
TOOLS = OfferedTools([TOOL])
CASES = {"bytes": 750, "events": 1_000, "text": 500, "seam": 250}
TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
"""How often as many cases are thrown."""
_SHARDS = 4
"""Tests that share the cases of one kind, so that processes can share them too."""


def cases(kind: str) -> settings:
    return settings(
        max_examples=TIMES * CASES[kind] // _SHARDS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


shards = pytest.mark.parametrize("shard", range(_SHARDS))

# ── Inputs ───────────────────────────────────────────────────────────────────────────────────────

_MARKS = sorted({text for marker in MARKERS for text in (marker.opening, *marker.ends)})
_BITS = [
    *(b"data:", b"data: ", b"event: error\n", b": \n", b"\n", b"\r\n", b"\n\n", b"\0", b"[DONE]"),
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b"\\ud83d", b"null", b"1e999", b"\xf0\x9f", b"\xff"),
    *(b'{"choices":[', b'{"delta":', b'{"content":"', b'"}}]}', b'"finish_reason":"stop"'),
    *(b'"tool_calls":[', b'{"index":0,"function":{"name":"f","arguments":"', b'{"error":'),
    *(b'{"message":{"content":"', b'"done":true', b'{"usage":{', b"\xef\xbb\xbf", b"HTTP/1.1"),
]
raw = st.lists(st.sampled_from(_BITS) | st.binary(max_size=6), max_size=30).map(b"".join)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["stop", "length", "error", "f", "c1", '{"a": 1}', "{", "\ud83d", "[DONE]"])
)
_KEYS = (
    *("choices", "delta", "message", "content", "text", "reasoning", "reasoning_content", "usage"),
    *("tool_calls", "function", "name", "arguments", "index", "id", "finish_reason", "error"),
    *("done", "done_reason", "thinking", "response", "type", "object", "data", "extra_content"),
    *("reasoning_details", "code", "detail", "status", "prompt_tokens", "base_resp", "x_groq"),
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)
_deltas = st.dictionaries(st.sampled_from(_KEYS), _values, max_size=4)
_payloads = (
    _values
    | st.builds(lambda d, r: {"choices": [{"delta": d, "finish_reason": r}]}, _deltas, _scalars)
    | st.builds(lambda m, d: {"message": m, "done": d}, _deltas, _scalars)
)
payloads = st.lists(_payloads, max_size=5)
texts = st.lists(
    st.sampled_from(_MARKS) | st.sampled_from([*'{}[]()<>"`\n ', "f(", "word ", '{"name": "f"'])
    | st.text(max_size=5),
    max_size=20,
).map("".join)  # fmt: skip
places = st.lists(st.integers(0, 10_000), max_size=6)


def encoded(wire: str, bodies: list[object]) -> bytes:
    lines = [json.dumps(body).encode() for body in bodies]
    return b"".join(
        line + b"\n" if wire == "ollama" else b"data: " + line + b"\n\n" for line in lines
    )


def check_is_classified(error: UpstreamError) -> None:
    assert classify(error).kind is not FailureClass.BUG


def parse(wire: str, pieces: list[bytes]) -> None:
    """Parses a reply; any exception but a classified one fails the test."""
    parser = parser_of(wire)
    try:
        for piece in pieces:
            for chunk in parser.feed(piece):
                (chunk.text + chunk.reasoning).encode()
        for chunk in parser.close():
            (chunk.text + chunk.reasoning).encode()
    except UpstreamError as error:
        check_is_classified(error)


# ── Without rules ────────────────────────────────────────────────────────────────────────────────


@shards
@cases("bytes")
@given(wire=st.sampled_from(WIRES), data=raw, at=places)
def test_any_bytes_are_a_reply_or_a_classified_failure(
    shard: int, wire: str, data: bytes, at: list[int]
) -> None:
    parse(wire, cut(data, at))


@shards
@cases("events")
@given(wire=st.sampled_from(WIRES), bodies=payloads, at=places)
def test_any_json_is_a_reply_or_a_classified_failure(
    shard: int, wire: str, bodies: list[object], at: list[int]
) -> None:
    parse(wire, cut(encoded(wire, bodies), at))


@shards
@cases("text")
@given(text=texts, at=places, speech=st.booleans(), thinks=st.booleans())
def test_any_text_of_a_model_is_words_or_a_classified_failure(
    shard: int, text: str, at: list[int], speech: bool, thinks: bool
) -> None:
    reading = MachineTextFilter(TOOLS, speech=speech, begins_in_thought=thinks)
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in at)})
    try:
        for begin, end in pairwise(edges):
            reading.feed(text[begin:end])
        reading.close()
        reading.written()
    except UpstreamError as error:
        check_is_classified(error)
    object_text(text)


@shards
@cases("seam")
@given(given_=texts, text=texts, at=places, how=st.sampled_from(HOWS))
def test_any_two_halves_are_joined_the_same_however_they_are_cut(
    shard: int, given_: str, text: str, at: list[int], how: Continuation
) -> None:
    whole, parts = Seam(given_, how), Seam(given_, how)
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in at)})
    joined = whole.feed(text) + whole.flush()
    pieces = [parts.feed(text[a:b]) for a, b in pairwise(edges)]
    assert joined == "".join([*pieces, parts.flush()])


# ── Work ─────────────────────────────────────────────────────────────────────────────────────────


def work(run: Callable[[str], object], text: str) -> float:
    """Returns the processor time (s) that it takes, failures included."""
    before = processor_time()
    with suppress(UpstreamError):
        run(text)
    return processor_time() - before


def read_text(text: str) -> None:
    reading = MachineTextFilter(TOOLS)
    reading.feed("Well. ")
    for place in range(0, len(text), 4):
        reading.feed(text[place : place + 4])
    reading.close()
    reading.written()


def parse_bytes(text: str) -> None:
    for wire in WIRES:
        parse(wire, [b"%c" % byte for byte in text.encode()])


def join(text: str) -> None:
    for how in HOWS:
        seam = Seam(text, how)
        for character in text:
            seam.feed(character)
        seam.flush()


def call(text: str) -> None:
    written_calls(text[:WRITTEN_CALL], TOOLS)
    object_text(text)


REPEATED = [
    *("a", "a ", " ", "\n", "日", ".", "Sure, ", "ok\n", "<", "<a", "[", "{", "`", '"', "\\", "1,"),
    *("<a>", "<a>b", "f(", "[f(", "<parameter=x", "<arg_key>a</arg_key><arg_value>", "-", "1+"),
    *(
        "<name>x</name><arguments>",
        '<|open|>argument key="a"<|sep|>',
        "<think>",
        "</s> ",
        "<|",
        "｜",
    ),
    *("data: {}\n", "data: [DONE]\n", "data:", ": x\n\n", "{}", "[]", '{"a":', "```", "``` "),
]


@pytest.mark.parametrize("run", [read_text, parse_bytes, join, call])
@pytest.mark.parametrize("opening", ["", "<tool_call>"])
def test_work_grows_with_the_length_alone(run: Callable[[str], None], opening: str) -> None:
    with no_collection_of_older_objects():
        for repeated in REPEATED:
            short, long = (
                opening + repeated * (size // len(repeated)) + "x" for size in (1000, 8000)
            )
            # Eight times the length: quadratic work would be 64 times as much. What else runs here
            # slows one attempt down, not each.
            tries = (work(run, long) <= 24 * max(work(run, short), 0.005) for _ in range(3))
            assert any(tries), repr(repeated)


def test_the_longest_event_is_refused_before_it_is_read() -> None:
    assert work(parse_bytes, "data: " + "x" * 1000) < 1
    parse("openai_compatible", [b"data: " + b"x" * EVENT, b"x" * 10])
