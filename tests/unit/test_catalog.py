"""Tests of how an address identifies its server and the root of its API."""

import pytest

from llm_router.catalog.servers import SERVERS, api_root, default_provider, find_server
from llm_router.connections.record import Connection
from llm_router.errors import UnknownPluginError


def at(base_url: str, server: str = "") -> Connection:
    return Connection(name="x", base_url=base_url, server=server)


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.openai.com", "openai"),
        ("https://API.OpenAI.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.deepseek.com/beta", "deepseek_beta"),
        ("https://api.deepseek.com/betamax", "deepseek"),
        ("http://localhost:11434", "ollama"),
        ("http://gpu-box:11434/v1", "ollama"),
        ("http://localhost:4000", "litellm"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://notapi.groq.com/v1", "unknown"),
        ("https://evil-openai.azure.com.example/v1", "unknown"),
        ("https://example.com/v1", "unknown"),
    ],
)
def test_an_address_identifies_its_server(base_url: str, name: str) -> None:
    assert find_server(at(base_url)).name == name


@pytest.mark.parametrize("port", [8000, 8080])
def test_a_port_that_several_engines_use_identifies_none(port: int) -> None:
    assert find_server(at(f"http://localhost:{port}/v1")).name == "unknown"


def test_the_connections_server_takes_precedence_over_its_address() -> None:
    assert find_server(at("http://localhost:8000/v1", "vllm")).name == "vllm"
    assert find_server(at("http://localhost:11434/v1", "litellm")).name == "litellm"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownPluginError, match=r"unknown server 'vlm'; known: .*vllm"):
        find_server(at("http://localhost:8000/v1", "vlm"))


def test_an_unknown_server_is_asked_to_continue_in_words() -> None:
    assert SERVERS["unknown"].continuation == "words"
    assert not SERVERS["unknown"].extra_body


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("http://box:8000", "http://box:8000/v1"),
        ("http://box:8000/", "http://box:8000/v1"),
        ("http://box:8000/v1", "http://box:8000/v1"),
        ("http://box:8000/v1/", "http://box:8000/v1"),
        ("http://box:8000/v1/chat/completions", "http://box:8000/v1"),
        ("http://box:8000/v1/models", "http://box:8000/v1"),
        ("http://box:8000/v1/completions/", "http://box:8000/v1"),
        ("http://box:8000/v1/responses", "http://box:8000/v1"),
        ("http://box:8000//v1//", "http://box:8000/v1"),
        ("http://box:11434/api/chat", "http://box:11434/v1"),
        ("http://box:11434/api/generate", "http://box:11434/v1"),
        ("http://box/chat/completions", "http://box"),
        ("http://box:8000/v1/messages", "http://box:8000/v1"),
        ("http://box:8000/v1/audio/speech", "http://box:8000/v1"),
        ("http://box:8080/health", "http://box:8080"),
        ("https://api.minimax.io/v1/text/chatcompletion_v2", "https://api.minimax.io/v1"),
        ("https://api.groq.com/v1", "https://api.groq.com/openai/v1"),
        ("https://openrouter.ai/v1/chat/completions", "https://openrouter.ai/api/v1"),
        (
            "https://generativelanguage.googleapis.com/v1",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        ("https://x.services.ai.azure.com/models", "https://x.services.ai.azure.com/openai/v1"),
        ("http://box/llm", "http://box/llm/v1"),
        ("http://box/llm/v1/", "http://box/llm/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
        ("http://box:11434/api", "http://box:11434/v1"),
        ("http://box:11434/api/", "http://box:11434/v1"),
        ("http://box/ollama/v1", "http://box/ollama/v1"),
        ("https://api.groq.com", "https://api.groq.com/openai/v1"),
        ("https://api.groq.com/openai", "https://api.groq.com/openai/v1"),
        ("https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
        ("https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
        ("https://api.fireworks.ai", "https://api.fireworks.ai/inference/v1"),
        ("https://api.deepseek.com/beta", "https://api.deepseek.com/beta"),
        (
            "https://generativelanguage.googleapis.com",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        ("https://x.openai.azure.com", "https://x.openai.azure.com/openai/v1"),
        (
            "https://x.openai.azure.com/openai/deployments/small",
            "https://x.openai.azure.com/openai/deployments/small",
        ),
        ("https://open.bigmodel.cn/api/paas/v4", "https://open.bigmodel.cn/api/paas/v4"),
    ],
)
def test_every_spelling_of_an_address_has_the_same_root(base_url: str, root: str) -> None:
    assert api_root(base_url, find_server(at(base_url))) == (root, "")


def test_a_query_in_the_address_is_preserved() -> None:
    base_url = "https://x.openai.azure.com/openai/deployments/small?api-version=2024-10-21"
    root, query = api_root(base_url, find_server(at(base_url)))
    assert (root, query) == (base_url.partition("?")[0], "api-version=2024-10-21")


@pytest.mark.parametrize(
    ("server", "base_url", "provider"),
    [
        ("", "http://127.0.0.1:11434/v1", "ollama"),
        ("ollama", "http://box", "ollama"),
        ("vllm", "http://127.0.0.1:11434", "openai_compatible"),
        ("nobody", "http://box", "openai_compatible"),
        ("", "https://api.openai.com/v1", "openai_compatible"),
    ],
)
def test_a_server_with_a_native_api_gets_its_own_provider(
    server: str, base_url: str, provider: str
) -> None:
    connection = Connection(name="box", server=server, base_url=base_url)
    assert default_provider(connection) == provider
