"""Tests the validation of a connection's record, and how it hides secrets."""

import math
from datetime import datetime
from typing import Any

import pytest

from llm_router.clock import utc_now
from llm_router.connections.record import SECRET_FIELDS, STORE_MANAGED_FIELDS, Connection
from llm_router.errors import ConfigurationError

SECRET = "sk-secret-0123456789"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": " "}, "a connection needs a name"),
        ({"name": "a\nb"}, "name must not contain control characters"),
        ({"name": "x" * 201}, "name must have at most 200 characters"),
        ({"id": "a/b"}, "id must be of letters"),
        ({"id": "é"}, "id must be of letters"),
        ({"description": "\x00"}, "description must not contain"),
        ({"model_name": "\ud800"}, "model_name must not contain"),
        ({"base_url": "host:8000"}, "base_url must look like"),
        ({"base_url": "ftp://host"}, "base_url must look like"),
        ({"base_url": "http://"}, "base_url must look like"),
        ({"base_url": "http://[::1"}, "base_url must look like"),
        ({"base_url": "http://host:99999"}, "base_url must look like"),
        ({"base_url": f"http://me:{SECRET}@host/v1"}, "must not contain a user name or password"),
        ({"base_url": f"http://{SECRET}@host/v1"}, "must not contain a user name or password"),
        ({"base_url": f"http://host/v1?key={SECRET}"}, "must not contain a key"),
        ({"base_url": f"http://host/v1?a=1&API_KEY={SECRET}"}, "must not contain a key"),
        ({"base_url": f"http://host?subscription-key={SECRET}"}, "must not contain a key"),
        ({"base_url": f"http://host?access_token={SECRET}"}, "must not contain a key"),
        ({"timeout": 0.0}, "timeout must be above 0 s"),
        ({"timeout": math.nan}, "timeout must be above 0 s"),
        ({"timeout": 1e9}, "at most 3,600 s"),
        ({"weight": -1.0}, "weight must be from 0 to"),
        ({"weight": math.inf}, "weight must be from 0 to"),
        ({"price_in": math.nan}, "price_in must be from 0 to"),
        ({"temperature": 2.1}, "temperature must be from 0 to 2"),
        ({"top_p": -0.1}, "top_p must be from 0 to 1"),
        ({"max_tokens": 0}, "max_tokens must be from 1 to"),
        ({"max_retries": 11}, "max_retries must be from 0 to 10"),
        ({"rate_limit_rpm": 0}, "rate_limit_rpm must be from 1 to"),
        ({"monthly_budget": -1.0}, "monthly_budget must be from 0 to"),
        ({"priority": 2**31}, "priority must be from -1,000,000,000"),
        ({"tags": ("a", "a")}, "tags must differ"),
        ({"aliases": ("a", "a")}, "aliases must differ"),
        ({"serves": "speech", "provider": "ollama"}, "serves speech only with the provider"),
        ({"tags": ("",)}, "tags must have 1 to 100 characters"),
        ({"tags": tuple(map(str, range(51)))}, "be at most 50"),
        ({"api_key": SECRET * 1001}, "api_key and headers must have at most 20,000"),
        ({"headers": {"X": SECRET * 1001}}, "api_key and headers must have at most 20,000"),
        ({"extra_body": {"a": math.nan}}, "extra_body must be JSON"),
        ({"extra_body": {"a": object()}}, "extra_body must be JSON"),
        ({"extra_body": {"a": "x" * 100_000}}, "extra_body must be JSON of at most"),
        ({"created_at": datetime(2026, 1, 1)}, "created_at needs a time zone"),  # noqa: DTZ001  the fault itself
    ],
)
def test_an_invalid_record_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Connection(**{"name": "mine", **fields})
    assert said in str(caught.value)
    assert "'mine'" in str(caught.value) or "name" in fields
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://host",
        "https://host:1/v1/",
        "http://host/v1?key-version=2",
        "http://host/keys/token",
        "http://[::1]:8000/v1",
        "http://host/x?api-version=1",
    ],
)
def test_an_address_may_be_written_in_several_ways(base_url: str) -> None:
    assert Connection(name="a", base_url=base_url).base_url == base_url


def test_a_description_may_have_lines() -> None:
    assert Connection(name="a", description="one\n\ttwo").description == "one\n\ttwo"


def test_secrets_are_not_in_the_repr() -> None:
    connection = Connection(name="a", api_key=SECRET, headers={"X": SECRET})
    assert SECRET not in repr(connection)
    assert SECRET not in repr(connection.without_secrets())


def test_without_secrets_has_the_header_names_and_the_end_of_the_key() -> None:
    shown = Connection(name="a", api_key=SECRET, headers={"X-B": "1", "X-A": "2"}).without_secrets()
    assert (shown.api_key, shown.headers) == (None, {})
    assert (shown.api_key_last4, shown.header_names) == ("6789", ("X-A", "X-B"))
    assert shown.without_secrets() == shown


def test_store_managed_fields_exist_and_are_not_secret() -> None:
    names = set(Connection.__slots__)
    assert set(STORE_MANAGED_FIELDS) < names
    assert set(SECRET_FIELDS) < names - set(STORE_MANAGED_FIELDS)


def test_times_with_a_zone_are_accepted() -> None:
    now = utc_now()
    assert Connection(name="a", created_at=now).created_at == now


@pytest.mark.parametrize("around", ['"{}"', "'{}'", " {} \n", '" {} "', "`{}`"])
def test_pasted_fields_lose_their_quotes_and_blanks(around: str) -> None:
    made = Connection(
        name="a",
        base_url=around.format("http://host/v1"),
        model_name=around.format("qwen3:4b"),
        api_key=around.format("Bearer sk-1"),
    )
    assert made == Connection(
        name="a", base_url="http://host/v1", model_name="qwen3:4b", api_key="sk-1"
    )
