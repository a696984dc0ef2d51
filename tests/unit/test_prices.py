"""Tests of list prices, the connection's own prices, and estimated tokens."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.catalog.prices import Price, cost, estimate_usage, price_of
from llm_router.connections.record import Connection
from llm_router.types import Usage

OPENAI = "https://api.openai.com/v1"
MINI = Price(input=0.4, cached=0.1, output=1.6)


def at(base_url: str, model: str, **fields: Any) -> Connection:
    return Connection(name="a", base_url=base_url, model_name=model, **fields)


def test_a_listed_model_costs_its_list_price() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=500_000)
    assert cost(usage, at(OPENAI, "gpt-4.1-mini")) == pytest.approx(0.4 + 0.8)


def test_cached_tokens_cost_less() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0, cached_tokens=600_000)
    assert cost(usage, at(OPENAI, "gpt-4.1-mini")) == pytest.approx(0.4 * 0.4 + 0.6 * 0.1)


def test_cached_tokens_cost_the_full_price_if_no_other_is_listed() -> None:
    usage = Usage(prompt_tokens=1_000_000, cached_tokens=1_000_000)
    groq = at("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile")
    assert cost(usage, groq) == pytest.approx(0.59)


@pytest.mark.parametrize(
    ("prompt", "spent"), [(100_000, 0.1 * 0.1 + 0.05), (100_001, 0.100001 * 0.5 + 0.25)]
)
def test_a_long_prompt_makes_the_whole_request_dearer(prompt: int, spent: float) -> None:
    usage = Usage(prompt_tokens=prompt, completion_tokens=100_000)
    haiku = at("https://api.anthropic.com/v1", "claude-haiku-5-5", connection_type="anthropic")
    assert cost(usage, haiku) == pytest.approx(spent)


def test_the_connections_own_prices_take_precedence_over_the_list() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000, cached_tokens=500_000)
    own = at(OPENAI, "gpt-4.1-mini", price_in=1.0, price_out=2.0)
    assert cost(usage, own) == pytest.approx(3.0)


def test_a_listed_model_can_be_free() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000)
    free = at(OPENAI, "gpt-4.1-mini", price_in=0.0, price_out=0.0)
    assert cost(usage, free) == 0
    assert price_of(free) == Price(0, 0, 0)


@pytest.mark.parametrize(
    ("named", "price"),
    [({"price_in": 0.0}, Price(0, 0, 1.6)), ({"price_out": 9.0}, Price(0.4, 0.1, 9))],
)
def test_a_price_that_the_connection_lacks_comes_from_the_list(
    named: dict[str, Any], price: Price
) -> None:
    assert price_of(at(OPENAI, "gpt-4.1-mini", **named)) == price


def test_a_missing_price_of_an_unlisted_model_is_free() -> None:
    assert price_of(at("http://host/v1", "mine", price_out=2.0)) == Price(0, 0, 2)


@pytest.mark.parametrize(
    "model", ["gpt-4.1-mini-2025-04-14", "gpt-4.1-mini-20250414", "gpt-4.1-mini-latest"]
)
def test_a_dated_model_costs_the_same_as_the_model(model: str) -> None:
    assert price_of(at(OPENAI, model)) == MINI


def test_a_date_that_has_a_price_of_its_own_keeps_it() -> None:
    assert price_of(at(OPENAI, "gpt-4o-2024-05-13")) == Price(5, 5, 15)
    assert price_of(at(OPENAI, "gpt-4o-2024-08-06")) == Price(2.5, 1.25, 10)


@pytest.mark.parametrize("model", ["gpt-4.1-mini-tuned", "gpt-4.1-min", "", "mine-2025-04-14"])
def test_a_model_that_is_not_listed_has_no_price(model: str) -> None:
    assert price_of(at(OPENAI, model)) is None
    assert cost(Usage(1000, 1000), at(OPENAI, model)) == 0.0


@pytest.mark.parametrize(
    "connection",
    [
        at("http://gpu-box:8000/v1", "gpt-4.1-mini", connection_type="openai"),
        at("http://gpu-box:8000/v1", "gpt-4.1-mini", server="openai"),
        at(OPENAI, "gpt-4.1-mini"),
    ],
)
def test_the_seller_is_the_type_the_server_or_the_address(connection: Connection) -> None:
    assert price_of(connection) == MINI


def test_the_same_model_on_the_users_own_machine_costs_nothing() -> None:
    own = at("http://gpu-box:8000/v1", "openai/gpt-oss-120b", connection_type="local")
    rented = at("https://api.groq.com/openai/v1", "openai/gpt-oss-120b")
    assert price_of(own) is None
    assert price_of(rented) == Price(0.15, 0.075, 0.6)


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        (
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "models/gemini-2.5-flash",
        ),
        ("https://api.deepseek.com/beta", "deepseek-flash"),
        ("https://api.mistral.ai/v1", "mistral-medium-latest"),
        ("https://api.x.ai/v1", "grok-4.7"),
        ("https://api.together.xyz/v1", "zai-org/GLM-5.3-Flash"),
        ("https://api.fireworks.ai/inference/v1", "accounts/fireworks/models/glm-5p3-flash"),
        ("https://api.cerebras.ai/v1", "gpt-oss-120b"),
        ("https://api.moonshot.ai/v1", "kimi-k2.6"),
    ],
)
def test_each_sellers_models_are_found_at_its_address(base_url: str, model: str) -> None:
    assert price_of(at(base_url, model))


def test_a_plugins_model_is_found_by_the_plugins_name() -> None:
    claude = Connection(
        name="a",
        provider="livekit_plugin",
        server="anthropic",
        model_name="claude-haiku-4-5-20251001",
    )
    assert price_of(claude) == Price(1, 0.1, 5)


@pytest.mark.parametrize(("characters", "counted"), [(0, 0), (1, 1), (4, 1), (4001, 1001)])
def test_tokens_without_a_count_are_estimated(characters: int, counted: int) -> None:
    assert estimate_usage(characters, 0) == Usage(prompt_tokens=counted)
    assert estimate_usage(0, characters) == Usage(completion_tokens=counted)


tokens = st.integers(0, 2_000_000)


@given(prompt=tokens, completion=tokens, cached=tokens)
def test_a_cost_is_never_negative_and_cached_tokens_never_cost_more(
    prompt: int, completion: int, cached: int
) -> None:
    model = at(OPENAI, "gpt-5.4")
    spent = cost(Usage(prompt, completion, cached), model)
    assert 0 <= spent <= cost(Usage(prompt, completion), model)
