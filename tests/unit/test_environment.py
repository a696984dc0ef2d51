"""Tests the connections that are read from environment variables."""

from collections.abc import Mapping

import pytest

from llm_router.catalog.servers import api_root, find_server
from llm_router.connections.record import Connection
from llm_router.discovery.environment import read_environment, suggest_from_keys
from llm_router.discovery.formats import parse
from llm_router.errors import ConfigurationError
from llm_router.providers._wire.http import request_headers
from llm_router.providers.openai_compatible import OpenAICompatible

EVERYTHING = {
    "OLLAMA_BASE_URL": "http://o:11434",
    "VLLM_BASE_URL": "http://v:8000",
    "OPENAI_BASE_URL": "http://p:9000",
    "OPENAI_API_KEY": "sk-secret",
    "DEFAULT_MODEL": "m",
}


def root(connection: Connection) -> str:
    return api_root(connection.base_url, find_server(connection))[0]


def test_without_a_chosen_backend_every_server_that_is_named_counts() -> None:
    named = read_environment(EVERYTHING)
    assert [n.connection.name for n in named] == ["vllm", "ollama", "openai"]
    assert [n.connection.priority for n in named] == [0, 10, 20]


@pytest.mark.parametrize(
    ("environ", "address", "source"),
    [
        ({"LLM_BACKEND_TYPE": "ollama"}, "http://127.0.0.1:11434/v1", "LLM_BACKEND_TYPE"),
        (
            {"LLM_BACKEND_TYPE": "ollama", "OLLAMA_BASE_URL": "http://o:11434/api"},
            "http://o:11434/v1",
            "OLLAMA_BASE_URL",
        ),
        (
            {"LLM_BACKEND_TYPE": " Ollama ", "OLLAMA_BASE_URL": "http://o:11434/api/"},
            "http://o:11434/v1",
            "OLLAMA_BASE_URL",
        ),
        ({"LLM_BACKEND_TYPE": "vllm"}, "http://127.0.0.1:8000/v1", "LLM_BACKEND_TYPE"),
        (
            {"LLM_BACKEND_TYPE": "vllm", "VLLM_BASE_URL": "http://v:8000/v1/"},
            "http://v:8000/v1",
            "VLLM_BASE_URL",
        ),
        ({"LLM_BACKEND_TYPE": "instructlab"}, "http://127.0.0.1:8000/v1", "LLM_BACKEND_TYPE"),
        (
            {"LLM_BACKEND_TYPE": "instructlab", "INSTRUCTLAB_BASE_URL": "http://i:8000"},
            "http://i:8000/v1",
            "INSTRUCTLAB_BASE_URL",
        ),
        (
            {"LLM_BACKEND_TYPE": "openai", "OPENAI_API_KEY": "k"},
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
        ),
        (
            {"LLM_BACKEND_TYPE": "openai", "OPENAI_BASE_URL": "http://p:9000"},
            "http://p:9000/v1",
            "OPENAI_BASE_URL",
        ),
    ],
)
def test_a_chosen_backend_has_its_named_or_default_address(
    environ: Mapping[str, str], address: str, source: str
) -> None:
    (named,) = read_environment({**environ, "DEFAULT_MODEL": "m"})
    assert root(named.connection) == address
    assert named.source == source
    assert named.preferred_models[0] == "m"


@pytest.mark.parametrize("chosen", ["ollama", "vllm", "instructlab", "openai"])
def test_a_chosen_backend_ignores_the_others_and_their_keys(chosen: str) -> None:
    (named,) = read_environment({**EVERYTHING, "LLM_BACKEND_TYPE": chosen})
    assert named.connection.name == chosen
    assert (named.connection.api_key is not None) == (chosen == "openai")


def test_the_local_backend_names_no_server_so_that_this_machine_is_searched() -> None:
    assert read_environment({**EVERYTHING, "LLM_BACKEND_TYPE": "local"}) == []


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_environment({"LLM_BACKEND_TYPE": "olama"})
    assert str(caught.value) == (
        "LLM_BACKEND_TYPE: must be one of local, openai, vllm, ollama, instructlab"
    )


def test_openai_without_a_key_or_an_address_says_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="needs OPENAI_API_KEY or OPENAI_BASE_URL"):
        read_environment({"LLM_BACKEND_TYPE": "openai"})


def test_a_wrong_address_names_its_variable_and_not_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_environment({"VLLM_BASE_URL": "http://me:sk-secret@v:8000"})
    assert str(caught.value) == "VLLM_BASE_URL: must look like http://host:port/v1"


# --- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "name", "host"),
    [
        ("OPENAI_API_KEY", "openai", "api.openai.com"),
        ("ANTHROPIC_API_KEY", "anthropic", "api.anthropic.com"),
        ("GROQ_API_KEY", "groq", "api.groq.com"),
        ("GOOGLE_API_KEY", "google", "generativelanguage.googleapis.com"),
        ("GEMINI_API_KEY", "google", "generativelanguage.googleapis.com"),
        ("TOGETHER_API_KEY", "together", "api.together.xyz"),
        ("AWS_BEARER_TOKEN_BEDROCK", "bedrock", "bedrock-runtime.us-east-1.amazonaws.com"),
    ],
)
async def test_a_key_is_suggested_as_a_valid_connection(
    variable: str, name: str, host: str
) -> None:
    (named,) = suggest_from_keys({variable: "sk-secret", "UNRELATED": "x"})
    connection = named.connection
    assert (connection.name, connection.connection_type) == (name, name)
    assert (named.source, connection.api_key) == (variable, "sk-secret")
    assert host in root(connection)
    assert connection.model_name
    assert "sk-secret" not in repr(named)
    await OpenAICompatible(connection).aclose()  # raises for an invalid connection


def test_two_variables_of_one_key_are_one_suggestion() -> None:
    (named,) = suggest_from_keys({"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"})
    assert named.connection.api_key == "b"


def test_without_keys_nothing_is_suggested() -> None:
    assert suggest_from_keys({"OPENAI_API_KEY": " ", "AZURE_OPENAI_API_KEY": "k"}) == []


def test_azure_is_suggested_with_its_endpoint_and_deployment() -> None:
    (named,) = suggest_from_keys(
        {
            "AZURE_OPENAI_API_KEY": "sk-secret",
            "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/",
            "AZURE_OPENAI_DEPLOYMENT": "voice-mini",
            "AZURE_OPENAI_API_VERSION": "2024-10-21",
        }
    )
    connection = named.connection
    assert root(connection) == "https://mine.openai.azure.com/openai/v1"
    assert (connection.model_name, connection.deployment) == ("voice-mini", "voice-mini")
    assert (connection.connection_type, connection.api_version) == ("azure", "2024-10-21")


def test_a_wrong_azure_endpoint_names_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_ENDPOINT: must look like"):
        suggest_from_keys({"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "mine"})


# --- pasted values ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pasted",
    [
        '"sk-0123456789"', "'sk-0123456789'", " sk-0123456789\r\n", "Bearer sk-0123456789",
        '"Bearer sk-0123456789"', "bearer  sk-0123456789", "Authorization: Bearer sk-0123456789",
        "' sk-0123456789 '", "`sk-0123456789`", "“sk-0123456789”", "<sk-0123456789>",
        "\ufeffsk-0123456789\u200b", "sk-0123456789\\n", "sk-0123456789;", '"sk-0123456789',
        "sk-0123456789  # mine", "export OPENAI_API_KEY='sk-0123456789'", "Bearer: sk-0123456789",
        "OPENAI_API_KEY=Bearer sk-0123456789", "x-api-key: sk-0123456789",
    ],
)  # fmt: skip
def test_a_pasted_key_is_read_without_what_is_around_it(pasted: str) -> None:
    (named,) = read_environment({"OPENAI_API_KEY": pasted})
    assert named.connection.api_key == "sk-0123456789"
    (suggested,) = suggest_from_keys({"GROQ_API_KEY": pasted})
    assert suggested.connection.api_key == "sk-0123456789"
    headers = request_headers(Connection(name="c", api_key=pasted), "*/*")
    assert headers["Authorization"] == "Bearer sk-0123456789"


@pytest.mark.parametrize(
    "variable",
    [
        "OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_BASE_URL", "OPENAI_API_HOST",
        "OPENAI_ENDPOINT", "OPENAI_API_ENDPOINT", "OPENAI_URL", "OPENAI_HOST", "OPENAI_API_URL",
        "OPENAI_BASEURL", "OPENAI_BASE", "OPENAI_API_BASE_PATH", "OPENAI_API_BASE_URLS",
        "OPENAI_REVERSE_PROXY", "OPENAI_PROXY_URL", "OPENAI_SERVER_URL", "OPENAI_LIKE_API_BASE",
        "CUSTOM_OPENAI_BASE_URL", "OPENAI_CHAT_ENDPOINT",
    ],
)  # fmt: skip
@pytest.mark.parametrize("chosen", ["", "openai"])
def test_a_key_goes_only_to_the_address_named_beside_it(variable: str, chosen: str) -> None:
    given = {
        "OPENAI_API_KEY": "sk-0123456789",
        variable: '"http://p:9000/v1"',
        "LLM_BACKEND_TYPE": chosen,
    }
    for found in (read_environment(given), suggest_from_keys(given)):
        assert [(n.connection.base_url, n.source) for n in found] == [
            ("http://p:9000/v1", variable)
        ]


def test_variables_may_be_in_small_letters() -> None:
    given = {"openai_api_key": "sk-0123456789", "openai_base_url": "http://p:9000/v1"}
    (named,) = read_environment(given)
    assert (named.connection.base_url, named.connection.api_key) == (
        *("http://p:9000/v1", "sk-0123456789"),
    )


@pytest.mark.parametrize(
    "other",
    [
        {"OPENAI_TTS_BASE_URL": "http://tts:1/v1"},
        {"OPENAI_EMBEDDING_API_BASE": "http://e:1"},
        {"OPENAI_OAUTH_URL": "https://login.test"},
        {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com"},
        {"OPENAI_LIKE_API_BASE": "http://p:9000/v1", "OPENAI_LIKE_API_KEY": "its own"},
    ],
)
def test_the_address_of_something_else_is_not_that_of_the_key(other: dict[str, str]) -> None:
    (named,) = read_environment({"OPENAI_API_KEY": "sk-0123456789", **other})
    assert named.connection.base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    "value",
    [
        "user_provided", "your-api-key-here", "sk-your-key", "<your_key>", "sk-xxxxxxxx", "sk-...",
        "changeme", "${OPENAI_KEY}", "$OPENAI_KEY", "replace-me",
    ],
)  # fmt: skip
def test_a_placeholder_is_no_key(value: str) -> None:
    assert read_environment({"OPENAI_API_KEY": value}) == []
    assert suggest_from_keys({"GROQ_API_KEY": value}) == []


def test_each_address_of_a_list_has_the_key_in_its_own_place() -> None:
    found = read_environment(
        {
            "OPENAI_API_BASE_URLS": "https://api.openai.com/v1;http://p:9000/v1; http://q:1/v1",
            "OPENAI_API_KEYS": "sk-0123456789;'other'",
            "OLLAMA_BASE_URLS": "http://o:11434;http://r:11434",
        }
    )
    assert [(c.name, c.base_url, c.api_key) for c in (n.connection for n in found)] == [
        ("ollama", "http://o:11434", None),
        ("ollama 2", "http://r:11434", None),
        ("openai", "https://api.openai.com/v1", "sk-0123456789"),
        ("openai 2", "http://p:9000/v1", "other"),
        ("openai 3", "http://q:1/v1", None),
    ]


def test_one_key_goes_to_the_first_address_of_a_list_alone() -> None:
    addresses = "http://p:9000/v1;http://q:1/v1"
    found = read_environment({"OPENAI_API_KEY": "sk-0123", "OPENAI_API_BASE_URLS": addresses})
    assert [n.connection.api_key for n in found] == ["sk-0123", None]


def test_an_address_with_an_open_variable_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL: holds the name of a variable"):
        read_environment({"OPENAI_BASE_URL": "http://${HOST}:8000/v1"})


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        *(("GROQ_API_KEY", f"GROQ_{end}") for end in ("BASE_URL", "API_BASE", "API_BASE_URL")),
        *(("ANTHROPIC_API_KEY", f"ANTHROPIC_{end}") for end in ("API_URL", "API_HOST", "ENDPOINT")),
        ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
        ("GOOGLE_API_KEY", "GEMINI_BASE_URL"),
        ("GOOGLE_API_KEY", "GOOGLE_API_BASE"),
        ("AZURE_OPENAI_KEY", "AZURE_OPENAI_ENDPOINT"),
        ("AZURE_API_KEY", "AZURE_API_BASE"),
    ],
)
def test_a_clouds_key_goes_to_the_address_named_beside_it(key: str, variable: str) -> None:
    (found,) = suggest_from_keys({key: "gsk", variable: "https://proxy.test/v1"})
    assert found.connection.base_url == "https://proxy.test/v1"
    assert found.connection.model_name == ""


@pytest.mark.parametrize(
    ("variable", "pasted", "address"),
    [
        ("OLLAMA_HOST", "0.0.0.0", "http://127.0.0.1:11434"),
        ("OLLAMA_HOST", "0.0.0.0:11500", "http://127.0.0.1:11500"),
        ("OLLAMA_HOST", "http://0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("OLLAMA_HOST", "http://10.0.0.6:11434", "http://10.0.0.6:11434"),
        ("OLLAMA_HOST", "[::]:11434", "http://127.0.0.1:11434"),
        ("OLLAMA_HOST", ":11500", "http://127.0.0.1:11500"),
        (
            "OLLAMA_HOST",
            "host.docker.internal:11434",
            "http://host.docker.internal:11434",
        ),
        ("OPENAI_API_BASE", "vllm.lan:8000/v1", "http://vllm.lan:8000/v1"),
        ("OLLAMA_API_BASE", "'localhost:11434'", "http://localhost:11434"),
        ("OLLAMA_BASE_URL", "ollama:11434/api", "http://ollama:11434/api"),
        ("VLLM_API_BASE", "127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("OPENAI_API_BASE", "vllm:8000/v1", "http://vllm:8000/v1"),
        ("OLLAMA_BASE_PATH", "http://o:11434", "http://o:11434"),
        ("OLLAMA_ENDPOINT", "http://o:11434", "http://o:11434"),
        ("VLLM_API_URL", "http://v:8000/v1 # ours", "http://v:8000/v1"),
    ],
)
def test_an_address_may_have_another_name_quotes_or_no_scheme(
    variable: str, pasted: str, address: str
) -> None:
    (named,) = read_environment({variable: pasted})
    assert named.connection.base_url == address


@pytest.mark.parametrize("before", ["export ", "set ", "SET ", "ENV ", "- ", "  - ", "$env:", "\t"])
def test_a_line_of_another_kind_of_file_names_a_variable_too(before: str) -> None:
    lines = f"# a comment\n{before}OLLAMA_BASE_URL=http://o:11434\n"
    (connection,) = parse(lines, "env", ".env", {})
    assert connection.base_url == "http://o:11434"


def test_a_public_name_without_a_scheme_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_BASE: must look like http://"):
        read_environment({"OPENAI_API_BASE": "api.example.com/v1", "OPENAI_API_KEY": "k"})


def test_compatible_data_may_name_the_variable_of_its_key() -> None:
    data = '[{"baseUrl": "http://p/v1", "apiKeyEnvVar": "MINE", "models": [{"apiName": "m"}]}]'
    given = {"OPENAI_COMPATIBLE_DATA": data}
    (named,) = read_environment({**given, "MINE": "sk-0123456789"})
    assert named.connection.api_key == "sk-0123456789"
    with pytest.raises(ConfigurationError, match="the variable MINE is not set"):
        read_environment(given)


def test_compatible_data_without_an_address_names_the_field_of_its_format() -> None:
    data = '[{"provider": "openai", "apiKey": "sk-secret", "models": [{"apiName": "m"}]}]'
    with pytest.raises(ConfigurationError, match='field "baseUrl": is missing'):
        read_environment({"OPENAI_COMPATIBLE_DATA": data})
