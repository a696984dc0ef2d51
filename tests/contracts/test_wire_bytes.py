"""Tests that bytes may be cut, lost or wrong, and never leave half a character in a reply."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.providers._wire.characters import CharacterJoiner, mend
from llm_router.providers._wire.errors import status_error
from llm_router.providers._wire.tool_calls import ToolCallAssembler
from llm_router.providers._wire.tools import OfferedTools
from llm_router.testing.server import Script
from tests.contracts.wire import reply_to, text
from tests.contracts.wire_parsing import (
    Parsed,
    cut,
    ended,
    events,
    json_lines,
    line,
    parse,
    said,
)

HIGH, LOW = "\ud83d", "\ude00"
SMILE = "😀"
LOST = "\ufffd"


def strings(parsed: Parsed) -> list[str]:
    calls = [part for call in parsed.calls for part in (call.id, call.name, call.arguments)]
    values = [json.loads(call.arguments) for call in parsed.calls]
    unescaped = [json.dumps(value, ensure_ascii=False) for value in values]
    error = parsed.error
    shown = [str(error), repr(error), getattr(error, "detail", ""), getattr(error, "code", "")]
    return [parsed.text, parsed.reasoning, *calls, *unescaped, *shown]


def assert_sound(parsed: Parsed) -> None:
    for one in strings(parsed):
        one.encode()


def stream(wire: str, *words: str, field: str = "content") -> bytes:
    """Returns a whole reply with these pieces of text or reasoning, with escaped characters."""
    if wire == "ollama":
        name = "content" if field == "content" else "thinking"
        pieces = [{"message": {"content": "", name: word}, "done": False} for word in words]
        return json_lines(*pieces, line("", "stop"))
    deltas = [{"choices": [{"index": 0, "delta": {field: word}}]} for word in words]
    return events(*deltas, ended("stop"))


# --- Surrogates

HALVES = [
    (["Great ", SMILE], f"Great {SMILE}"),
    (["Great ", HIGH, LOW], f"Great {SMILE}"),
    ([f"Great {HIGH}", f"{LOW} work"], f"Great {SMILE} work"),
    ([f"{HIGH}{LOW}{HIGH}", f"{LOW}"], SMILE * 2),
    (["Great \udcaf ", "work."], f"Great {LOST} work."),
    ([f"Great {HIGH} work", "."], f"Great {LOST} work."),
    ([f"Great {HIGH}", " work."], f"Great {LOST} work."),
    ([f"Great {LOW}{HIGH}", " work."], f"Great {LOST}{LOST} work."),
    (["Great work.", HIGH], f"Great work.{LOST}"),
    (["Great work.", LOW], f"Great work.{LOST}"),
    ([f"{HIGH}", f"{HIGH}", f"{LOW}"], f"{LOST}{SMILE}"),
    ([f"{LOW}", f"{LOW}", "."], f"{LOST}{LOST}."),
    ([f"a{HIGH}", "", f"{LOW}b"], f"a{SMILE}b"),
    (["\ud800", "\udc00"], "\U00010000"),
    (["\udbff", "\udfff"], "\U0010ffff"),
    (["👩\u200d", "👩\u200d👧"], "👩\u200d👩\u200d👧"),
    (["a\x00b", "\x00", "c"], "abc"),
    (["caf\u00e9", " d\u00e9j\u00e0"], "café déjà"),
]


@pytest.mark.parametrize(("words", "whole"), HALVES, ids=[ascii(words) for words, _ in HALVES])
@pytest.mark.parametrize("wire", ["openai_compatible", "ollama"])
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_halves_are_joined_or_replaced(words: list[str], whole: str, wire: str, field: str) -> None:
    parsed = parse([stream(wire, *words, field=field)], wire)
    assert (parsed.text if field == "content" else parsed.reasoning) == whole
    assert parsed.finish_reason == "stop" or field != "content"
    assert_sound(parsed)


@pytest.mark.parametrize("content", [f"Great {HIGH}", f"{LOW}Great", HIGH, "\udcaf"])
def test_halves_in_a_plain_reply_are_replaced(content: str) -> None:
    body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    parsed = parse([json.dumps(body).encode()])
    assert parsed.text.replace(LOST, "") in {"Great ", "Great", ""}
    assert_sound(parsed)


@pytest.mark.parametrize(
    ("pieces", "value"),
    [
        ([f'{{"a": "{HIGH}', f'{LOW}"}}'], SMILE),
        ([f'{{"a": "{HIGH}"}}'], LOST),
        ([f'{{"a": "x{LOW}"}}'], f"x{LOST}"),
        (['{"a": "\\ud83d', '\\ude00"}'], SMILE),
        (['{"a": "\\ud83d"}'], LOST),
        (['{"a": "\\udcaf!"}'], f"{LOST}!"),
        (['{"a": "\\uD83D\\uDE00"}'], SMILE),
        (['{"a": "\\\\ud83d"}'], "\\ud83d"),
        ([f'{{"a": "{SMILE}"}}'], SMILE),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("name", ["f", f"f{HIGH}"])
def test_halves_in_a_tool_call_are_joined_or_replaced(
    pieces: list[str], value: str, name: str
) -> None:
    calls = ToolCallAssembler(OfferedTools([{"name": mend(name)}]))
    for number, piece in enumerate(pieces):
        first = {"id": f"c{LOW}"} if not number else {}
        function = {"name": name if not number else None, "arguments": piece}
        calls.add([{"index": 0, **first, "function": function}])
    (call,) = calls.close("tool_calls")
    assert json.loads(call.arguments) == {"a": value}
    assert_sound(Parsed(calls=(call,)))


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": f"no {HIGH} here", "code": f"x{LOW}", "type": f"{HIGH}"}},
        {"error": f"{LOW}"},
        {"message": f"{HIGH}", "code": f"{HIGH}"},
        f"upstream {HIGH} timed out",
    ],
    ids=ascii,
)
def test_halves_in_an_error_are_replaced(body: Any) -> None:
    assert_sound(Parsed(error=status_error(500, body)))
    if isinstance(body, dict):
        assert_sound(parse([events(said("Hi"), body)]))
        assert_sound(parse([json_lines(line("Hi"), body)], "ollama"))


@given(st.lists(st.text("a é😀\ud83d\ude00\udcaf\udce2\udc82\x00", max_size=6), max_size=6))
def test_no_text_leaves_with_half_a_character(words: list[str]) -> None:
    joiner = CharacterJoiner()
    pieces = [joiner.feed(word) for word in words]
    for piece in pieces:
        piece.encode()
    joined = "".join(pieces) + joiner.close()
    joined.encode()
    assert joined == mend("".join(words).replace("\0", ""))


@pytest.mark.parametrize("unseen", ["\u200b", "\ufeff", "\u2060\u200b"])
def test_characters_without_width_alone_are_no_word(unseen: str, wire: str) -> None:
    def text_of(*words: str) -> str:
        chunks = [line(word) for word in words] if wire == "ollama" else [*map(said, words)]
        end = [line("", "stop")] if wire == "ollama" else [ended("stop")]
        write = json_lines if wire == "ollama" else events
        return parse([write(*chunks, *end)], wire).text

    assert text_of(unseen) == ""
    assert text_of(unseen, f"{unseen}We open", f" at{unseen} nine.") == f"We open at{unseen} nine."


# --- Bytes that are no UTF-8

RAW = 'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'


def raw(*contents: bytes) -> bytes:
    head, tail = RAW.encode().split(b"%s")
    return b"".join(head + content + tail for content in contents) + events(ended("stop"))


BAD = [
    ([b"caf\xe9 au lait"], f"caf{LOST} au lait"),
    ([b"\xff\xfe"], LOST * 2),
    ([b"a\xf0\x9f", b"\x98\x80b"], f"a{SMILE}b"),
    ([b"a\xf0", b"\x9f", b"\x98", b"\x80b"], f"a{SMILE}b"),
    ([b"5 \xe2\x82", b"\xac"], "5 €"),
    ([b"5 \xe2\x82", b" more"], f"5 {LOST} more"),
    ([b"5 \xe2\x82"], f"5 {LOST}"),
    ([b"\x82\xac"], LOST * 2),
    ([b"nul\x00byte"], "nulbyte"),
    ([b"tab\there"], "tab\there"),
    (["für 5 €".encode()], "für 5 €"),
]


@pytest.mark.parametrize(("contents", "whole"), BAD, ids=[str(contents) for contents, _ in BAD])
def test_bytes_that_are_no_utf_8_cost_only_their_character(
    contents: list[bytes], whole: str
) -> None:
    parsed = parse([raw(*contents)])
    assert (parsed.text, parsed.finish_reason) == (whole, "stop")
    assert_sound(parsed)


@pytest.mark.parametrize(("contents", "whole"), BAD, ids=[str(contents) for contents, _ in BAD])
def test_the_same_on_ollamas_wire(contents: list[bytes], whole: str) -> None:
    lines = [b'{"message":{"content":"%s"}}\n' % content for content in contents]
    parsed = parse([*lines, json_lines(line("", "stop"))], "ollama")
    assert (parsed.text, parsed.finish_reason) == (whole, "stop")
    assert_sound(parsed)


# --- Events and lines, as servers part them

A, B, END = (json.dumps(one) for one in (said("We open"), said(" at nine."), ended("stop")))
PRETTY = "\n".join(f"data: {x}" for x in json.dumps(said("We open"), indent=1).splitlines())


@pytest.mark.parametrize(
    "body",
    [
        f"data: {A}\n\ndata: {B}\n\ndata: {END}\n\ndata: [DONE]\n\n",
        f"data: {A}\ndata: {B}\ndata: {END}\ndata: [DONE]\n",
        f"data: {A}\ndata: {B}\n\ndata: {END}\ndata: [DONE]\n\n",
        f"data: {A}\r\n\r\ndata: {B}\r\n\r\ndata: {END}\r\n\r\ndata: [DONE]\r\n\r\n",
        f"data: {A}\r\ndata: {B}\r\ndata: {END}\r\ndata: [DONE]\r\n",
        f"data: {A}\rdata: {B}\rdata: {END}\rdata: [DONE]\r",
        f"data: {A}\r\rdata: {B}\r\rdata: {END}\r\rdata: [DONE]",
        f"data:{A}\n\ndata:{B}\n\ndata:{END}\n\ndata:[DONE]\n\n",
        f"data:{A}\ndata:{B}\ndata:{END}\ndata:[DONE]",
        f"\ufeffdata: {A}\n\n\ufeffdata: {B}\n\ndata: {END}\n\n",
        f"data: \ufeff{A}\n\ndata: {B}\n\ndata: {END}\n\n",
        f"data: {A}{B}\n\ndata: {END}\n\n",
        f"data: {A} {B}\t{END}[DONE]\n\n",
        f"data: {A}, {B}\n\ndata: {END}\n\n",
        f"data: {A}data: {B}data: {END}data: [DONE]\n\n",
        f"data: data: {A}\n\ndata: data: {B}\n\ndata: data: {END}\n\n",
        f"data: [{A}]\n\ndata: [{B}]\n\ndata: [{END}]\n\n",
        f"{PRETTY}\n\ndata: {B}\n\ndata: {END}\n\n",
        f"{PRETTY}\n\n\n\n\ndata: {B}\n\n\ndata: {END}",
        f": ping\n\n: ping\ndata: {A}\n: ping\n\ndata: {B}\n\n:\n\ndata: {END}\n\n",
        f"id: 1\nevent: x\nretry: 9\ndata: {A}\n\nevent: x\ndata: {B}\nid: 2\n\ndata: {END}\n\n",
        f"data: {A}\nid: 1\ndata: {B}\nid: 2\ndata: {END}\n",
        f"data: {A}\n\ndata:\n\ndata: \n\ndata: {B}\n\ndata: {END}\n\n",
        f"data: {A}\n\ndata: {B}\n\ndata: {END}",
        f"\n\n  \ndata: {A}\n\ndata: {B}\n\ndata: {END}\n\n",
        f"\0data: {A}\n\n\0\0data: {B}\n\n\0data: {END}\0\n\n\0",
        f"data: {A}\n\n{B}\n\ndata: {END}\n\n",
        f"{A}\n{B}\n{END}\n",
        f"{A}\n\n{B}\n\n{END}\n[DONE]\n",
        f"{A}{B}{END}",
    ],
)
def test_events_are_read_however_they_are_parted(body: str) -> None:
    data = body.encode()
    whole = parse([data])
    assert (whole.text, whole.finish_reason, whole.error) == ("We open at nine.", "stop", None)
    assert parse([data[i : i + 1] for i in range(len(data))]) == whole


LINE_A, LINE_B, LINE_END = (
    json.dumps(one) for one in (line("We open"), line(" at nine."), line("", "stop"))
)


@pytest.mark.parametrize(
    "body",
    [
        f"{LINE_A}\n{LINE_B}\n{LINE_END}\n",
        f"{LINE_A}\r\n{LINE_B}\r\n{LINE_END}\r\n",
        f"{LINE_A}\r{LINE_B}\r{LINE_END}\r",
        f"{LINE_A}\n\n\n{LINE_B}\n \n{LINE_END}",
        f"{LINE_A}{LINE_B}\n{LINE_END}",
        f"{LINE_A}{LINE_B}{LINE_END}",
        f"{LINE_A} {LINE_B}, {LINE_END}\n",
        f"\ufeff{LINE_A}\n\ufeff{LINE_B}\n{LINE_END}\n",
        f"data: {LINE_A}\n\ndata: {LINE_B}\n\ndata: {LINE_END}\n\ndata: [DONE]\n\n",
        f"\0{LINE_A}\n\0\0\n{LINE_B}\0\n{LINE_END}\n\0",
    ],
)
def test_ollamas_lines_are_read_however_they_are_parted(body: str) -> None:
    data = body.encode()
    whole = parse([data], "ollama")
    assert (whole.text, whole.finish_reason, whole.error) == ("We open at nine.", "stop", None)
    assert parse([data[i : i + 1] for i in range(len(data))], "ollama") == whole


@pytest.mark.parametrize(
    "data",
    [": keepalive", ": OPENROUTER PROCESSING", ":", "null", "[]", '""', "{}", "", "ping", "[PING]",
     "keep-alive", "keepalive", "heartbeat", '{"type": "ping"}'],
)  # fmt: skip
def test_an_event_that_only_keeps_the_connection_open_is_none(data: str) -> None:
    parsed = parse([events(data, said("We open"), data, said(" at nine."), data, ended("stop"))])
    assert (parsed.text, parsed.finish_reason, parsed.error) == ("We open at nine.", "stop", None)


THOUGHT = {"google": {"thought": True}}


@pytest.mark.parametrize(
    "delta",
    [
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
        {"content": [{"type": "reasoning", "text": "Hm."}]},
        {"content": [{"type": "text", "text": "Hm.", "thought": True}]},
        {"content": {"type": "reasoning", "text": "Hm."}},
        {"content": "Hm.", "extra_content": THOUGHT},
        {"reasoning": "Hm.", "content": ""},
    ],
)
def test_a_thought_beside_the_words_is_reasoning(delta: dict[str, Any]) -> None:
    answers = ([{"type": "text", "text": "Nine."}], {"type": "text", "text": "Nine."}, "Nine.")
    for answer in answers:
        chunks = [{"choices": [{"delta": one}]} for one in (delta, {"content": answer})]
        parsed = parse([events(*chunks, ended("stop"))])
        assert (parsed.reasoning, parsed.text) == ("Hm.", "Nine.")


def test_words_are_not_withheld_where_blank_lines_are_missing() -> None:
    pieces = [f"data: {one}\n".encode() for one in (A, B, END, "[DONE]")]
    assert [parse(pieces[:n]).text for n in (1, 2)] == ["We open", "We open at nine."]


# --- Cuts

PIECES = st.lists(
    st.text('ab é😀\ud83d\ude00\udce2\n"\\{}', min_size=1, max_size=5), min_size=1, max_size=6
)
CUTS = st.lists(st.integers(0, 5000), max_size=30)
PARTING = st.sampled_from(["\n\n", "\r\n\r\n", "\r\r", "\n", "\r\n", "\r", ""])


@given(PIECES, CUTS, PARTING, st.booleans(), st.booleans())
def test_no_cut_changes_what_a_reply_says(
    words: list[str], places: list[int], parting: str, escaped: bool, prefix_has_space: bool
) -> None:
    prefix = "data: " if prefix_has_space or not parting else "data:"
    bodies = [json.dumps(one, ensure_ascii=escaped) for one in [*map(said, words), ended("stop")]]
    body = "".join(f"{prefix}{one}{parting}" for one in [*bodies, "[DONE]"])
    data = body.encode(errors="surrogatepass")
    whole = parse([data])
    assert_sound(whole)
    assert parse(cut(data, places)) == whole
    if escaped:
        assert (whole.text, whole.finish_reason) == (mend("".join(words)), "stop")


@given(PIECES, CUTS, st.sampled_from(["\n", "\r\n", "\n\n", ""]))
def test_no_cut_changes_what_ollamas_reply_says(
    words: list[str], places: list[int], parting: str
) -> None:
    data = "".join(json.dumps(one) + parting for one in [*map(line, words), line("", "stop")])
    whole = parse([data.encode()], "ollama")
    assert_sound(whole)
    assert whole.finish_reason == "stop"
    assert parse(cut(data.encode(), places), "ollama") == whole


@given(st.binary(max_size=200), CUTS, st.sampled_from(["openai_compatible", "ollama"]))
def test_no_bytes_at_all_are_a_bug_or_half_a_character(
    data: bytes, places: list[int], wire: str
) -> None:
    start = events(said("Hi"), done=False) if wire != "ollama" else json_lines(line("Hi"))
    for whole in (data, start + data, start + b"data: " + data):
        parsed = parse(cut(whole, places), wire)
        assert_sound(parsed)


async def test_halves_and_cuts_survive_the_network(wire: str) -> None:
    data = stream(wire, f"Great {HIGH}", f"{LOW} and \udcaf work.")
    script = Script(raw=[data[i : i + 7] for i in range(0, len(data), 7)])
    assert text(await reply_to(script, provider=wire)) == f"Great {SMILE} and {LOST} work."
