"""Tests hand-written files: each gives connections, or one error that names the place."""

from pathlib import Path

import pytest

from llm_router.catalog.servers import api_root, find_server
from llm_router.connections.record import Connection
from llm_router.discovery.discover import DiscoveryOptions, find_connections
from llm_router.discovery.files import parse_compatible_data
from llm_router.errors import ConfigurationError

FILES = Path(__file__).parent / "imported"
NO_LOCAL_SERVERS = DiscoveryOptions(local=())
INVENTED = "invented-0123456789"


async def read(name: str) -> list[Connection]:
    found = await find_connections(FILES / name, {}, NO_LOCAL_SERVERS)
    return list(found.connections)


def root(connection: Connection) -> str:
    return api_root(connection.base_url, find_server(connection))[0]


async def test_the_common_file_is_read_completely() -> None:
    ollama, vllm, openai = await read("llm_connections.json")
    assert (ollama.id, ollama.name, ollama.model_name) == (
        "local-ollama",
        "Local Ollama",
        "llama3.2:3b",
    )
    assert (ollama.timeout, ollama.max_tokens, ollama.temperature) == (30.0, 1000, 0.7)
    assert (ollama.connection_type, vllm.connection_type) == ("local", "remote")
    assert (openai.id, openai.name) == ("openai-main", "openai-main")
    assert openai.api_key == f"sk-{INVENTED}"
    assert [root(c) for c in (ollama, vllm, openai)] == [
        "http://localhost:11434/v1",
        "http://gpu-box:8000/v1",
        "https://api.openai.com/v1",
    ]


async def test_byte_order_mark_comments_and_trailing_commas_are_accepted() -> None:
    (connection,) = await read("bom_and_comments.json")
    assert connection.name == "Ollama // at home"
    assert connection.base_url == "http://localhost:11434"


async def test_a_file_may_be_one_connection() -> None:
    (connection,) = await read("one_connection.json")
    assert (connection.id, connection.name, connection.model_name) == ("only", "only", "qwen3-4b")


async def test_a_file_may_be_an_array() -> None:
    assert [root(c) for c in await read("array.json")] == [
        "http://a:8000/v1",
        "http://b:8000/openai/v1",
    ]


async def test_nulls_and_surrounding_blanks_are_ignored() -> None:
    (connection,) = await read("nulls_and_blanks.json")
    assert (connection.id, connection.name, connection.model_name) == ("one", "one", "m")
    assert connection.base_url == "http://localhost:8000/v1/"
    assert connection.timeout == Connection(name="usual").timeout


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
async def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text('[{"name": "Küche", "base_url": "http://a"}]', encoding)
    with pytest.raises(ConfigurationError, match=r"mine\.json: is not UTF-8; save it as UTF-8"):
        await find_connections(file, {}, NO_LOCAL_SERVERS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("duplicate_ids.json", ', connections[2] has the same id "one" as '),
        ("field_twice.json", ': not JSON ("base_url" occurs twice in one object)'),
        ("missing_address.json", ', connections[0], field "base_url": is missing, e.g. http://'),
        ("missing_name.json", ', connections[0], field "name": is missing; give each'),
        (
            "camel_case.json",
            ', connections[0]: unknown field "baseUrl"; did you mean "base_url"?',
        ),
        ("number_as_text.json", ', connections[0], field "max_tokens": Input should be a valid'),
        ("cut_short.json", ", line 4, column 80: not JSON"),
        ("password_in_address.json", "[0]: connection 'a': base_url must not contain a user name"),
        ("empty.json", ", line 1, column 1: not JSON"),
    ],
)
async def test_a_mistake_is_named_with_its_file_and_place(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await read(name)
    assert str(caught.value).startswith(f"{FILES / name}{said}")
    assert INVENTED not in str(caught.value)


@pytest.mark.parametrize("around", ["{}", "'{}'", "\ufeff{}", " \n{}\n"])
def test_compatible_data_may_have_quotes_around_it(around: str) -> None:
    text = around.format((FILES / "openai_compatible_data.json").read_text())
    big, small, local = parse_compatible_data(text, "DATA", {})
    assert [c.name for c in (big, small, local)] == [
        "Groq Llama 3.3 70B",
        "Groq Llama 3.1 8B",
        "LM Studio qwen3-4b",
    ]
    assert [c.supports_tools for c in (big, small, local)] == [True, False, True]
    assert [root(c) for c in (big, local)] == [
        "https://api.groq.com/openai/v1",
        "http://localhost:1234/v1",
    ]
    assert (big.api_key, local.api_key) == (f"gsk-{INVENTED}", None)


def test_compatible_data_without_a_model_is_named_with_its_place() -> None:
    text = (FILES / "compatible_without_models.json").read_text()
    with pytest.raises(ConfigurationError) as caught:
        parse_compatible_data(text, "OPENAI_COMPATIBLE_DATA", {})
    assert str(caught.value).startswith('OPENAI_COMPATIBLE_DATA[0], field "models"')
    assert INVENTED not in str(caught.value)
