"""Tests which arguments of a model reach a tool, and what the model is to correct."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.toolbox.arguments import ArgumentCheck
from agent.toolbox.errors import ToolError

ORDER = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "pattern": "^(a+)+$"},
        "boxes": {"type": "integer", "minimum": 1, "maximum": 9},
        "size": {"enum": ["small", "large"]},
        "to": {"$ref": "#/$defs/address"},
    },
    "required": ["number"],
    "additionalProperties": False,
    "$defs": {"address": {"type": "object", "required": ["town"]}},
}


async def fault(arguments: dict[str, Any], schema: dict[str, Any] | None = None) -> str:
    """Returns the line for the model; empty: the arguments fit."""
    try:
        await ArgumentCheck("order", schema or ORDER).require(arguments)
    except ToolError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"boxes": 2}, "'number' is a required property"),
        ({"number": "a", "boxes": "three"}, "boxes: 'three' is not of type 'integer'"),
        ({"number": "a", "boxes": 0}, "boxes: 0 is less than the minimum of 1"),
        ({"number": "a", "size": "huge"}, "size: 'huge' is not one of ['small', 'large']"),
        ({"number": "a", "to": {}}, "to: 'town' is a required property"),
        ({"number": "a", "colour": "red"}, "'colour' was unexpected"),
    ],
)
async def test_the_model_learns_in_one_line_what_to_correct(
    arguments: dict[str, Any], says: str
) -> None:
    line = await fault(arguments)
    assert says in line
    assert "\n" not in line
    assert line.endswith("; correct them and call it again")


async def test_arguments_that_fit_pass() -> None:
    assert not await fault({"number": "a", "boxes": 3, "size": "small", "to": {"town": "Aix"}})


async def test_a_pattern_that_would_take_forever_is_left_to_the_tool() -> None:
    assert not await fault({"number": "a" * 60 + "!"})


async def test_a_fault_is_short_however_long_the_argument_is() -> None:
    assert len(await fault({"number": "a", "boxes": "x" * 9_000})) < 300


def doubling(levels: int) -> dict[str, Any]:
    """Returns a schema whose check doubles with every level."""
    definitions: dict[str, Any] = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}, {"$ref": f"#/$defs/d{at + 1}"}]}
        for at in range(levels)
    }
    return {"$defs": {**definitions, f"d{levels}": {}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"type": "no such type"},
        {"properties": 5},
        doubling(40),
    ],
)
async def test_a_schema_that_cannot_be_checked_leaves_the_arguments_to_the_tool(
    schema: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert not await fault({"number": "secret words"}, schema)
    assert "tool order: its schema cannot be checked" in caplog.text
    assert "secret words" not in caplog.text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    )
)
async def test_no_argument_breaks_the_check(value: Any) -> None:
    assert "\n" not in await fault({"number": value, "boxes": value, "to": value})
