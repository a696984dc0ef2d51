"""Tests the JSON formats of connections."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from llm_router.connections.record import Connection
from llm_router.discovery.files import parse_compatible_data, parse_connections
from llm_router.errors import ConfigurationError

ONE = {"name": "a", "base_url": "http://a/v1", "model_name": "m"}


def read(content: Any, environ: Mapping[str, str] | None = None) -> tuple[Connection, ...]:
    text = content if isinstance(content, str) else json.dumps(content)
    return parse_connections(text, "my.json", environ or {})


def read_data(content: Any) -> tuple[Connection, ...]:
    text = content if isinstance(content, str) else json.dumps(content)
    return parse_compatible_data(text, "DATA", {"ACME_KEY": "sk-1"})


@pytest.mark.parametrize("content", [{"connections": [ONE]}, [ONE], ONE])
def test_a_file_may_hold_an_object_an_array_or_one_connection(content: Any) -> None:
    assert read(content) == (Connection(name="a", base_url="http://a/v1", model_name="m"),)


def test_fields_of_other_programs_files_are_translated() -> None:
    row = {
        "id": "local-1",
        "base_url": "http://a/v1",
        "model": "m",
        "api_key": "k",
        "timeout": 30,
        "max_tokens": 200,
        "temperature": 0.5,
        "num_retries": 2,
        "is_local": True,
    }
    (connection,) = read({"connections": [row]})
    assert (connection.id, connection.name, connection.model_name) == ("local-1", "local-1", "m")
    assert connection.connection_type == "local"
    assert (connection.timeout, connection.max_tokens, connection.temperature) == (30.0, 200, 0.5)
    assert connection.max_retries == 2


@pytest.mark.parametrize(
    "key",
    [
        "env:MY_KEY",
        "${MY_KEY}",
        "$MY_KEY",
        "os.environ/MY_KEY",
        "{env:MY_KEY}",
        "${env:MY_KEY}",
        "${{ secrets.MY_KEY }}",
        "${MY_KEY:-none}",
    ],
)
def test_a_key_is_taken_from_the_named_variable(key: str) -> None:
    row = {**ONE, "api_key": key}
    (connection,) = read([row], {"MY_KEY": "sk-1"})
    assert connection.api_key == "sk-1"
    assert "sk-1" not in repr(connection)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[\n  {"name" "a"}\n]', "line 2, column 11: not JSON"),
        ('[{"name": "a", "timeout": NaN}]', "NaN is not a JSON number"),
        ("5", 'must be {"connections": [...]}'),
        ({"conections": [ONE]}, 'field "name": is missing'),
        ({"connections": {"a": 1}}, "connections"),
        (["a"], "[0]: must be an object"),
        (
            [ONE, {**ONE, "name": "b", "modle": "m"}],
            '[1]: unknown field "modle"; did you mean "model"',
        ),
        ([ONE, ONE], '[1] has the same name "a"'),
        ([{**ONE, "id": "1"}, {**ONE, "name": "b", "id": "1"}], '[1] has the same id "1"'),
        ([{**ONE, "timeout": "30"}], '[0], field "timeout": Input should be a valid number'),
        ([{**ONE, "timeout": 0}], "timeout must be above 0 s"),
        ([{**ONE, "tags": ["a", 1]}], 'field "tags.1": Input should be a valid string'),
        ([{**ONE, "hedge": "maybe"}], "field \"hedge\": Input should be 'allowed' or 'never'"),
        ([{**ONE, "model": "n"}], "mean the same; give one"),
        ([{**ONE, "max_retries": 0, "num_retries": 1}], '"max_retries" mean the same; give one'),
        ([{**ONE, "is_local": "yes"}], 'field "is_local": must be true or false'),
        ([{**ONE, "id": [1]}], 'field "id": must be a string'),
        ([{**ONE, "base_url": "ftp://a"}], "base_url must look like http://host:port/v1"),
        ([{"name": "a"}], 'field "base_url": is missing'),
        ([{"base_url": "http://a"}], 'field "name": is missing'),
        ([{**ONE, "api_key": "env:NOT_SET"}], "the variable NOT_SET is not set"),
    ],
)
def test_a_mistake_in_the_file_is_refused_with_its_place(content: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(content)
    assert str(caught.value).startswith("my.json")
    assert said in str(caught.value)


@pytest.mark.parametrize("field", ["api_key", "headers", "timeout", "name", "tags"])
def test_no_mistake_repeats_a_value_since_it_may_be_a_key(field: str) -> None:
    value: Any = ["sk-secret"] if field == "api_key" else {"x": ["sk-secret"]}
    with pytest.raises(ConfigurationError) as caught:
        read([{**ONE, field: value}])
    assert field in str(caught.value)
    assert "sk-secret" not in str(caught.value)


DATA = [
    {
        "provider": "acme",
        "baseUrl": "http://acme/v1",
        "apiKey": "sk-secret",
        "models": [
            {"apiName": "small", "uiName": "Small", "supportsTools": False},
            {"apiName": "big"},
        ],
    }
]


def test_compatible_data_makes_a_connection_of_every_model() -> None:
    first, second = read_data(DATA)
    assert (first.name, first.model_name, first.supports_tools) == ("acme Small", "small", False)
    assert (second.name, second.model_name, second.supports_tools) == ("acme big", "big", True)
    assert first.api_key == second.api_key == "sk-secret"


def test_compatible_data_may_be_written_for_a_shell() -> None:
    text = json.dumps(DATA)
    for written in (
        f"'{text}'", f'"{text}"', json.dumps(text), text.replace('"', '\\"'),
        text.replace(", ", ",\\\n"),
    ):  # fmt: skip
        assert [c.model_name for c in read_data(written)] == ["small", "big"]


def test_a_key_in_compatible_data_may_be_a_variable_too() -> None:
    first, _ = read_data([{**DATA[0], "apiKey": "env:ACME_KEY"}])
    assert first.api_key == "sk-1"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("[", "DATA, line 1, column 2: not JSON"),
        ({}, "DATA: must be an array of providers"),
        ([{"provider": "a"}], '[0], field "models"'),
        ([{"apikey": "sk-secret"}], '[0]: unknown field "apikey"; did you mean "apiKey"'),
        ([{"baseUrl": "http://a", "models": ["m"]}], "models[0]: must be an object"),
        ([{"models": [{"apiName": "m"}]}], '[0], field "baseUrl"'),
        ([*DATA, *DATA], 'has the same name "acme Small"'),
    ],
)
def test_a_mistake_in_compatible_data_is_refused_with_its_place(data: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_data(data)
    assert said in str(caught.value)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "field",
    ["created_at", "type", "is_default", "system_prompt", "stream", "top_k", "version", "stop"],
)
def test_a_field_of_another_program_is_left_out_with_a_warning(field: str) -> None:
    warnings: list[str] = []
    text = json.dumps([{**ONE, field: "sk-secret"}])
    (connection,) = parse_connections(text, "my.json", {}, warnings.append)
    assert connection == parse_connections(json.dumps([ONE]), "my.json", {})[0]
    (warning,) = warnings
    assert "my.json[0]" in warning
    assert field in warning
    assert "sk-secret" not in warning


def test_a_field_of_another_program_in_compatible_data_is_left_out_with_a_warning() -> None:
    warnings: list[str] = []
    provider = {**DATA[0], "icon": "a.svg"}
    provider["models"] = [{"apiName": "m", "contextWindow": 8_000}]
    text = json.dumps([provider])
    (connection,) = parse_compatible_data(text, "DATA", {}, warnings.append)
    assert connection.model_name == "m"
    assert ["icon" in warnings[0], "contextWindow" in warnings[1]] == [True, True]


@pytest.mark.parametrize("switch", [{"enabled": False}, {"disabled": True}, {"active": False}])
def test_a_connection_that_another_program_had_switched_off_stays_off(
    switch: dict[str, bool],
) -> None:
    (connection,) = read([{**ONE, **switch}])
    assert not connection.is_active
    (connection,) = read([{**ONE, **{name: not value for name, value in switch.items()}}])
    assert connection.is_active
