"""Tests of the ready-made sets of connections."""

import pytest

from llm_router.catalog.presets import CLOUDS, PRESETS, preset_connections
from llm_router.catalog.prices import price_of
from llm_router.errors import ConfigurationError

KEYS = {cloud.key: f"sk-{name}" for name, cloud in CLOUDS.items()}


@pytest.mark.parametrize(
    ("preset", "names"),
    [
        ("local-dev", ["ollama", "llama.cpp"]),
        ("production", ["anthropic", "openai", "groq"]),
        ("multi-cloud", ["openai", "anthropic", "google", "bedrock"]),
    ],
)
def test_a_preset_sets_the_order_of_its_connections(preset: str, names: list[str]) -> None:
    connections = preset_connections(preset, KEYS)
    assert [c.name for c in connections] == names
    assert [c.priority for c in connections] == [10 * place for place in range(len(names))]


def test_the_local_preset_needs_no_key_and_stays_on_this_machine() -> None:
    connections = preset_connections("local-dev", {})
    assert all(c.base_url.startswith("http://127.0.0.1:") for c in connections)
    assert all(c.connection_type == "local" and c.api_key is None for c in connections)


def test_a_given_key_takes_precedence_over_the_environment() -> None:
    connections = preset_connections("production", KEYS, {"openai": "sk-given"})
    assert [c.api_key for c in connections] == ["sk-anthropic", "sk-given", "sk-groq"]


def test_every_missing_key_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        preset_connections("production", {"OPENAI_API_KEY": "k", "GROQ_API_KEY": "  "})
    assert "Production needs ANTHROPIC_API_KEY, GROQ_API_KEY" in str(caught.value)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="known: local-dev, production, multi-cloud"):
        preset_connections("prod", KEYS)


def test_bedrocks_address_holds_the_region_of_the_environment() -> None:
    bedrock = preset_connections("multi-cloud", {**KEYS, "AWS_REGION": "eu-west-1"})[-1]
    assert bedrock.region == "eu-west-1"
    assert bedrock.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1"


def test_every_preset_has_a_title_and_a_description() -> None:
    assert all(preset.title and preset.description for preset in PRESETS.values())


def test_every_clouds_model_has_a_list_price() -> None:
    connections = preset_connections("production", KEYS) + preset_connections("multi-cloud", KEYS)
    for connection in connections:
        assert price_of(connection) or connection.connection_type == "bedrock", connection.name
