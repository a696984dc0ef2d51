"""Declared tools: a record that cannot work is refused with the field and the fault."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llm_router.voice.tools import HttpTool, McpServer

BY_ID = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}


def order(**changes: Any) -> HttpTool:
    fields: dict[str, Any] = {
        "name": "find_order",
        "description": "Finds an order.",
        "url": "https://shop.example/orders/{id}",
        "parameters": BY_ID,
        **changes,
    }
    return HttpTool(**fields)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"name": "Find Order"}, "name"),
        ({"description": ""}, "description"),
        ({"url": "ftp://shop.example/{id}"}, "must look like https://host/path"),
        ({"url": "shop.example/{id}"}, "must look like https://host/path"),
        ({"url": "https://{id}.example/"}, "not in its host"),
        ({"url": "https://user:secret@shop.example/{id}"}, "must hold no user name"),
        ({"url": "https://shop.example/a b"}, "must hold no blanks"),
        ({"url": "https://shop.example:port/"}, "not a valid address"),
        ({"url": "https://shop.example/{number}"}, "no parameter is called 'number'"),
        ({"headers": {"Host": "other.example"}}, "cannot set the header 'Host'"),
        ({"headers": {"Idempotency-Key": "1"}}, "cannot set the header"),
        ({"headers": {"X-Key": "secret\r\nX-More: 1"}}, "no header can have"),
        ({"parameters": {"type": "string"}}, "must describe an object"),
        ({"parameters": {"properties": {"id": 7}}}, "properties must be an object of schemas"),
        ({"parameters": {**BY_ID, "required": ["other"]}}, "required must list names"),
        ({"parameters": {**BY_ID, "enum": [*range(2000)]}}, "at most 1,000 values"),
        ({"timeout": 0}, "timeout"),
        ({"answer_characters": 0}, "answer_characters"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_tool_that_cannot_work_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError) as refused:
        order(**changes)
    assert fault in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_server_names_the_tools_that_are_chosen() -> None:
    with pytest.raises(ValidationError, match="tools"):
        McpServer(name="shop", url="https://shop.example/mcp", tools=())


def test_headers_are_shown_nowhere() -> None:
    assert "s3cret" not in repr(order(headers={"Authorization": "Bearer s3cret"}))


@pytest.mark.parametrize(
    ("method", "has_effect", "changes"),
    [("GET", None, False), ("POST", None, True), ("POST", False, False), ("GET", True, True)],
)
def test_any_request_but_a_get_changes_something_unless_it_says_otherwise(
    method: str, has_effect: bool | None, changes: bool
) -> None:
    assert order(method=method, has_effect=has_effect).changes is changes


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("a/b?c#d", "https://shop.example/orders/a%2Fb%3Fc%23d"),
        ("..", "https://shop.example/orders/"),
        ("{id}", "https://shop.example/orders/%7Bid%7D"),
        (7, "https://shop.example/orders/7"),
        (True, "https://shop.example/orders/true"),
        (None, "https://shop.example/orders/"),
    ],
)
def test_an_argument_cannot_leave_its_place_in_the_address(value: Any, address: str) -> None:
    assert order().address({"id": value}) == address


@given(st.text())
def test_no_argument_changes_the_host_or_adds_a_parameter(value: str) -> None:
    address = order().address({"id": value.encode(errors="ignore").decode()})
    assert address.startswith("https://shop.example/orders/")
    assert not {*address.removeprefix("https://shop.example/orders/")} & {*"/?#\\ \n"}


def test_arguments_that_the_address_holds_are_sent_once() -> None:
    assert order().others({"id": 1, "more": 2}) == {"more": 2}
