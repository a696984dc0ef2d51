"""Tests that the parsed stream does not depend on how the network split it."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire.characters import mend
from llm_router.providers._wire.json_objects import is_object
from llm_router.providers._wire.sse import Event, EventParser


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


def parse(pieces: list[bytes], limit: int = 1 << 20) -> list[Event]:
    parser = EventParser(limit)
    return [event for piece in pieces for event in parser.feed(piece)] + parser.close()


def by_the_book(text: str) -> list[Event]:
    """Applies the standard's algorithm to the whole text at once, and our exceptions to it: a
    line that is a whole object is an event by itself, and an error may lack data.
    """
    events, name, data = [], "", list[str]()
    for line in [*re.split(r"\r\n|\r|\n", text), ""]:
        if not line:
            if data or name == "error":
                events.append(Event(name, "\n".join(data)))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
            if len(data) == 1 and is_object(value.strip()):
                events.append(Event(name, value))
                name, data = "", []
        elif field == "event":
            name = value
    return events


LINES = st.one_of(
    st.just(""),
    st.just("data"),
    st.just(": keep-alive"),
    st.just("event: error"),
    st.just("id: 7"),
    st.text("aé€😀 :{}", max_size=8).map("data: {}".format),
    st.sampled_from(["data: {}", "data:{ }", "data: {} "]),
    st.text("aé€😀 :{}", max_size=8).map("data:{}".format),
    st.text("abé:", max_size=6),
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"])), max_size=20).map(
    lambda lines: "".join(line + end for line, end in lines)
)
CUTS = st.lists(st.integers(0, 400), max_size=40)


@given(STREAMS, CUTS)
def test_events_do_not_depend_on_how_the_stream_is_split(text: str, places: list[int]) -> None:
    assert parse(cut(text.encode(), places)) == by_the_book(text)


@given(STREAMS)
def test_events_are_parsed_from_single_bytes(text: str) -> None:
    data = text.encode()
    assert parse([data[i : i + 1] for i in range(len(data))]) == by_the_book(text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_event_is_returned_with_the_bytes_that_end_it(end: str) -> None:
    parser = EventParser()
    assert list(parser.feed(f"data: one{end}".encode())) == []
    assert list(parser.feed(end.encode())) == [Event("", "one")]


def test_data_over_several_lines_is_one_event() -> None:
    assert parse([b"data: one\ndata: two\n\n"]) == [Event("", "one\ntwo")]


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert parse([b"\xef\xbb", b"\xbfdata: one\n\n"]) == [Event("", "one")]


def test_comments_and_keep_alives_are_no_events() -> None:
    assert parse([b": ping\n\n", b":\n\n", b"\n\n\n"]) == []


def test_a_stream_without_the_last_blank_line_loses_nothing() -> None:
    assert parse([b"data: [DONE]"]) == [Event("", "[DONE]")]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: " + b"x" * 60] * 2,
        [b"x" * 90, b"x" * 90],
        [b"data: xxxxxxxx\n"] * 30,
        [b"data:\n"] * 30,
        [b"data: " + b"x" * 200 + b"\n\n"],
    ],
    ids=["long line", "no field", "many lines", "many empty lines", "in one piece"],
)
def test_an_endless_event_is_an_error_instead_of_memory(pieces: list[bytes]) -> None:
    with pytest.raises(BrokenStreamError, match="more than 100 bytes"):
        parse(pieces, limit=100)


def test_long_streams_of_short_events_are_no_error() -> None:
    assert len(parse([b"data: xxxxxxxx\n\n"] * 100, limit=100)) == 100


def test_bytes_that_are_not_utf_8_lose_nothing_around_them() -> None:
    ((name, data),) = parse([b"data: a\xc3(\n\n"])
    assert (name, mend(data)) == ("", "a\ufffd(")


@pytest.mark.parametrize(
    "stream",
    [
        b'data: {"a": 1}\ndata: {"b": 2}\ndata: [DONE]\n',
        b'data:{"a": 1}\r\ndata:{"b": 2}\r\ndata:[DONE]',
        b'\xef\xbb\xbfdata: {"a": 1}\n\n\xef\xbb\xbfdata: {"b": 2}\n\ndata: [DONE]\n\n',
        b'\0data: {"a": 1}\n\n\0\0data: {"b"\0: 2}\n\0\ndata: [DONE]\n\n\0',
        b'id: 1\ndata: {"a": 1}\nid: 2\ndata: {"b": 2}\nretry: 5\ndata: [DONE]\n',
        b'data: {"a": 1}\n{"b": 2}\n\ndata: [DONE]\n\n',
    ],
    ids=["no blank lines", "none, CRLF", "byte order marks", "NUL bytes", "ids", "no field"],
)
def test_events_that_no_blank_line_parts_are_separate(stream: bytes) -> None:
    expected = [Event("", data) for data in ('{"a": 1}', '{"b": 2}', "[DONE]")]
    assert parse([stream]) == expected
    assert parse([stream[i : i + 1] for i in range(len(stream))]) == expected


def test_an_event_without_a_blank_line_is_returned_with_its_line() -> None:
    parser = EventParser()
    assert list(parser.feed(b'data: {"a": 1}\n')) == [Event("", '{"a": 1}')]
    assert list(parser.feed(b'\ndata: {"a":\n')) == []
    assert list(parser.feed(b"data: 1}\n")) == []
    assert list(parser.feed(b"\n")) == [Event("", '{"a":\n1}')]


@pytest.mark.parametrize("field", ["data :", "Data:", "  data:", "DATA :", "\tdata:"])
def test_a_field_is_read_whatever_blanks_and_capitals_its_name_has(field: str) -> None:
    assert parse([f"{field} one\n\n{field} two\n\n".encode()]) == [
        Event("", "one"),
        Event("", "two"),
    ]


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b'error: {"code": 500}\n\n', '{"code": 500}'),
        (b"error: out of memory\n\n", "out of memory"),
        (b"event: error\n\n", ""),
        (b"event: error\ndata:\n\n", ""),
        (b"event: error", ""),
    ],
)
def test_an_error_is_an_event_in_every_writing(stream: bytes, data: str) -> None:
    assert parse([stream]) == [Event("error", data)]
