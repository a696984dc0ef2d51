"""Tests the discovery of connections in a file, in the environment and on this machine."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llm_router.connections.record import Connection
from llm_router.discovery.discover import (
    DiscoveryOptions,
    DiscoveryResult,
    find_connections,
    suggest_connections,
)
from llm_router.errors import ConfigurationError

NOWHERE = Path("no/such/connections.json")
QUIET = DiscoveryOptions(local=())
EXAMPLE = Path(__file__).parents[2] / "config" / "connections.example.json"


@dataclass
class Web:
    """A web server that responds to some paths with JSON or text, and to all others with 404."""

    pages: Mapping[str, Any]
    root: str = ""
    asked: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            self.asked.append(path)
            self.headers.append(head)
            found = path in self.pages
            page = self.pages.get(path, "not here")
            body = (page if isinstance(page, str) else json.dumps(page)).encode()
            status = "200 OK" if found else "404 Not Found"
            lines = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(lines.encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def web(pages: Mapping[str, Any]) -> AsyncIterator[Web]:
    site = Web(pages)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    async with server:
        site.root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield site


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Yields an address that accepts connections and never responds."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in held:
            writer.close()


async def refused() -> str:
    """Returns an address that refuses connections."""
    async with web({}) as site:
        return site.root


def models(*names: str, owner: str = "someone") -> dict[str, Any]:
    rows = [{"id": name, "object": "model", "owned_by": owner} for name in names]
    return {"/v1/models": {"object": "list", "data": rows}}


def tags(*names: str) -> dict[str, Any]:
    """Makes Ollama's own list of models."""
    return {"/api/tags": {"models": [{"name": name} for name in names]}}


def only(found: DiscoveryResult) -> Connection:
    """Returns the only connection, which must not be the built-in responder."""
    (connection,) = found.connections
    assert connection.provider != "offline"
    return connection


async def from_file(
    tmp_path: Path, content: Any, environ: Mapping[str, str] | None = None
) -> DiscoveryResult:
    file = tmp_path / "connections.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return await find_connections(file, environ or {}, QUIET)


async def from_environment(**environ: str) -> DiscoveryResult:
    return await find_connections(NOWHERE, environ, QUIET)


# --- nothing ---------------------------------------------------------------------------------


async def test_with_nothing_set_up_the_built_in_responder_is_there() -> None:
    found = await from_environment()
    assert [c.provider for c in found.connections] == ["offline"]
    assert found.is_offline
    assert found.describe() == ["offline: rules, no model (built in)"]
    assert found.warnings == ()


# --- the file --------------------------------------------------------------------------------

ONE = {"name": "a", "base_url": "http://a/v1", "model_name": "m"}


async def test_a_connection_of_the_file_says_where_it_is_from(tmp_path: Path) -> None:
    found = await from_file(tmp_path, [ONE])
    assert only(found).name == "a"
    assert found.sources["a"] == str(tmp_path / "connections.json")
    assert not found.is_offline


async def test_a_mistake_in_the_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await from_file(tmp_path, [{**ONE, "modle": "m"}])
    assert f"{tmp_path / 'connections.json'}[0]" in str(caught.value)


async def test_the_file_comes_before_the_environment(tmp_path: Path) -> None:
    found = await from_file(tmp_path, [ONE], {"OPENAI_API_KEY": "sk-secret"})
    assert only(found).name == "a"


async def test_a_file_written_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert only(await from_file(tmp_path, "\ufeff" + json.dumps([ONE]))).name == "a"


async def test_an_empty_file_leaves_the_built_in_responder_and_a_warning(tmp_path: Path) -> None:
    found = await from_file(tmp_path, {"connections": []}, {"OPENAI_API_KEY": "sk-secret"})
    assert found.is_offline
    assert "names no connection" in found.warnings[0]


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await find_connections(tmp_path, {}, QUIET)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ConfigurationError, match=r"binary\.json: is not UTF-8"):
        await find_connections(tmp_path / "binary.json", {}, QUIET)


async def test_the_example_file_is_valid() -> None:
    keys = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2"}
    found = await find_connections(EXAMPLE, keys, QUIET)
    assert len(found.connections) == 4
    assert found.warnings == ()


async def test_an_offline_responder_that_was_named_answers_last(tmp_path: Path) -> None:
    found = await from_file(tmp_path, [{"name": "last", "provider": "offline", "priority": 9}, ONE])
    assert [c.name for c in found.connections] == ["a", "last"]


async def test_the_built_in_responder_can_be_switched_off() -> None:
    off = DiscoveryOptions(local=(), responder=False)
    found = await find_connections(NOWHERE, {}, off)
    assert found.connections == ()


# --- the environment -------------------------------------------------------------------------


async def test_servers_named_in_the_environment_come_in_order() -> None:
    address = await refused()
    found = await from_environment(
        VLLM_BASE_URL=f"{address}/v1",
        OLLAMA_BASE_URL=f"{address}/api",
        OPENAI_BASE_URL=address,
        OPENAI_API_KEY="sk-secret",
        DEFAULT_MODEL="m",
    )
    assert [(c.name, c.model_name, c.server) for c in found.connections] == [
        ("vllm", "m", "vllm"),
        ("ollama", "m", "ollama"),
        ("openai", "m", ""),
    ]
    assert found.sources["ollama"] == "OLLAMA_BASE_URL"
    assert [c.api_key for c in found.connections] == [None, None, "sk-secret"]


async def test_a_key_alone_means_openai() -> None:
    found = await from_environment(OPENAI_API_KEY="sk-secret")
    connection = only(found)
    assert connection.base_url == "https://api.openai.com/v1"
    assert connection.model_name
    assert "sk-secret" not in repr(found)
    assert "sk-secret" not in "".join(found.describe())


async def test_empty_variables_are_not_set() -> None:
    assert (await from_environment(OPENAI_API_KEY=" ", VLLM_BASE_URL="")).is_offline


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/v1"])
async def test_ollama_is_asked_for_its_models_however_its_address_is_written(suffix: str) -> None:
    async with web(tags("nomic-embed-text", "llama3.2")) as site:
        found = await from_environment(OLLAMA_BASE_URL=site.root + suffix)
    assert (only(found).model_name, only(found).provider) == ("llama3.2", "ollama")
    assert site.asked == ["/api/tags"]


async def test_the_key_goes_to_the_server_it_belongs_to() -> None:
    async with web(models("a")) as own, web(models("b")) as other:
        await from_environment(
            OPENAI_BASE_URL=own.root, OPENAI_API_KEY="sk-secret", VLLM_BASE_URL=other.root
        )
    assert "sk-secret" in own.headers[0]
    assert "sk-secret" not in "".join(other.headers)


async def test_a_server_that_is_down_is_included_if_its_model_is_known() -> None:
    found = await from_environment(VLLM_BASE_URL=await refused(), DEFAULT_MODEL="m")
    assert only(found).model_name == "m"
    assert found.warnings == ()


async def test_a_server_that_is_down_and_has_no_model_is_left_out_with_a_warning() -> None:
    address = await refused()
    found = await from_environment(VLLM_BASE_URL=address)
    assert found.connections == ()
    (warning,) = found.warnings
    assert f"vllm (VLLM_BASE_URL) is left out: the server at {address} did not say" in warning
    assert "name a model" in warning


async def test_a_server_that_hangs_is_left_after_the_timeout() -> None:
    async with silent() as address:
        probe = DiscoveryOptions(timeout=0.05, local=())
        found = await find_connections(NOWHERE, {"VLLM_BASE_URL": address}, probe)
    assert found.connections == ()
    assert "did not say" in found.warnings[0]


async def test_a_server_without_a_chat_model_is_left_out_with_a_warning() -> None:
    async with web(models("whisper-1")) as site:
        found = await from_environment(VLLM_BASE_URL=site.root)
    assert "lists no chat model" in found.warnings[0]


async def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="VLLM_BASE_URL: must look like") as caught:
        await from_environment(VLLM_BASE_URL="http://user:sk-secret@127.0.0.1:1")
    assert "sk-secret" not in str(caught.value)


async def test_the_default_model_goes_to_the_server_that_has_it() -> None:
    async with web(tags("llama3.2:latest")) as ollama, web(models("qwen", "bigger")) as vllm:
        found = await from_environment(
            OLLAMA_BASE_URL=ollama.root, VLLM_BASE_URL=vllm.root, DEFAULT_MODEL="llama3.2"
        )
    assert {c.name: c.model_name for c in found.connections} == {
        "vllm": "qwen",
        "ollama": "llama3.2",
    }


async def test_the_second_of_two_servers_of_one_model_is_included_while_it_is_down() -> None:
    async with web(models("m")) as one:
        found = await from_environment(
            VLLM_BASE_URL=one.root, OPENAI_BASE_URL=await refused(), DEFAULT_MODEL="m"
        )
    assert [c.model_name for c in found.connections] == ["m", "m"]
    assert found.warnings == ()


async def test_a_preferred_model_that_no_server_lists_is_still_used() -> None:
    async with web(models("a")) as one, web(models("b")) as two:
        found = await from_environment(
            OPENAI_BASE_URL=one.root, VLLM_BASE_URL=two.root, DEFAULT_MODEL="hidden"
        )
    assert [c.model_name for c in found.connections] == ["hidden", "hidden"]


@pytest.mark.parametrize("variable", ["VLLM_BASE_URL", "OLLAMA_BASE_URL", "OPENAI_BASE_URL"])
@pytest.mark.parametrize("value", ["example.com:8000", "ftp://host", "http://", "http://[::1"])
async def test_a_wrong_address_names_its_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{variable}: must look like http://"):
        await from_environment(**{variable: value})


async def test_compatible_data_adds_to_the_other_variables() -> None:
    data = [{"provider": "acme", "baseUrl": "http://a", "models": [{"apiName": "small"}]}]
    found = await from_environment(OPENAI_COMPATIBLE_DATA=json.dumps(data), OPENAI_API_KEY="k")
    assert [c.name for c in found.connections] == ["openai", "acme small"]
    assert found.sources["acme small"] == "OPENAI_COMPATIBLE_DATA"


# --- servers on this machine -----------------------------------------------------------------

SERVERS = [
    ("vllm", "vLLM", models("m", owner="vllm")),
    ("sglang", "SGLang", models("m", owner="sglang")),
    ("ollama", "Ollama", models("m") | {"/api/version": {"version": "0.9"}}),
    ("ollama", "Ollama", models("m", owner="library")),
    ("llama_cpp", "llama.cpp", models("m") | {"/props": {"default_generation_settings": {}}}),
    ("llama_cpp", "llama.cpp", models("m", owner="llamacpp")),
    ("llama_cpp_python", "llama-cpp-python", models("m", owner="me")),
    ("tgi", "TGI", models("m") | {"/info": {"model_id": "m"}}),
    ("lm_studio", "LM Studio", models("m") | {"/api/v0/models": {"data": [{"state": "loaded"}]}}),
    ("litellm", "LiteLLM", models("m") | {"/health/liveliness": "I'm alive!"}),
    ("localai", "LocalAI", models("m") | {"/readyz": "OK"}),
    ("", "an OpenAI-compatible server", models("m")),
]


async def locally(*addresses: str) -> DiscoveryResult:
    return await find_connections(NOWHERE, {}, DiscoveryOptions(timeout=20, local=addresses))


@pytest.mark.parametrize(("server", "title", "pages"), SERVERS)
async def test_a_server_on_this_machine_is_recognised(
    server: str, title: str, pages: Mapping[str, Any]
) -> None:
    async with web(pages) as site:
        found = await locally(site.root)
    connection = only(found)
    assert (connection.server, connection.model_name) == (server, "m")
    assert connection.base_url == f"{site.root}/v1"
    assert connection.provider == ("ollama" if server == "ollama" else "openai_compatible")
    where = site.root.removeprefix("http://")
    assert found.sources[connection.name] == f"found at {where} ({title})"


async def test_every_server_that_is_found_is_taken_in_order() -> None:
    vllm = models("m", owner="vllm")
    async with web(vllm) as one, web(models("n", owner="library")) as two, web(vllm) as three:
        found = await locally(one.root, await refused(), two.root, three.root)
    port = three.root.rpartition(":")[2]
    assert [c.name for c in found.connections] == ["vllm", "ollama", f"vllm {port}"]
    priorities = [c.priority for c in found.connections]
    assert priorities == sorted(set(priorities))


@pytest.mark.parametrize(
    "pages",
    [
        {},
        {"/v1/models": "<html>welcome</html>"},
        {"/v1/models": {"data": "?"}},
        {"/v1/models": ["m"]},
        {"/v1/models": "x" * (2 << 20)},
    ],
)
async def test_a_web_server_that_serves_no_models_is_not_taken(pages: Mapping[str, Any]) -> None:
    async with web(pages) as site:
        found = await locally(site.root)
    assert found.is_offline
    assert found.warnings == ()


async def test_an_ollama_without_models_is_a_warning() -> None:
    pages = {"/v1/models": {"object": "list", "data": None}, "/api/version": {"version": "0.9"}}
    async with web(pages) as site:
        found = await locally(site.root)
    assert found.is_offline
    assert found.warnings == (f"Ollama runs at {site.root}/v1, but has no chat model yet",)


async def test_a_silent_port_delays_no_longer_than_the_timeout() -> None:
    async with silent() as address, web(models("m")) as site:
        found = await find_connections(
            NOWHERE, {}, DiscoveryOptions(timeout=1.0, local=(address, site.root))
        )
    assert only(found).model_name == "m"


async def test_servers_on_this_machine_are_not_asked_when_one_is_named() -> None:
    async with web(models("m")) as site:
        probe = DiscoveryOptions(local=(site.root,))
        await find_connections(NOWHERE, {"OPENAI_API_KEY": "k"}, probe)
    assert site.asked == []


async def test_no_key_is_sent_to_a_server_that_was_merely_found() -> None:
    async with web(models("m")) as site:
        await find_connections(
            NOWHERE, {"SOME_API_KEY": "sk-secret"}, DiscoveryOptions(local=(site.root,))
        )
    assert "authorization" not in "".join(site.headers).lower()


# --- suggestions -----------------------------------------------------------------------------


async def test_found_servers_and_keys_are_suggested() -> None:
    environ = {"GROQ_API_KEY": "sk-secret", "VLLM_BASE_URL": "http://named:8000"}
    async with web(models("m", owner="vllm")) as site:
        found = await suggest_connections(environ, DiscoveryOptions(local=(site.root,)))
    assert [c.name for c in found.connections] == ["vllm", "groq"]
    assert found.sources["groq"] == "GROQ_API_KEY"
    assert "sk-secret" not in "".join([*site.headers, *found.describe(), repr(found)])
