"""Tests the identification of a server, when a connection is added and when it is tested."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from llm_router.discovery.local_servers import identify_server
from llm_router.errors import AddressRefusedError
from llm_router.net.guard import AddressGuard
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, problem
from tests.contracts.wire import raw_server

KEY = "sk-0123456789-wxyz"


def listing(**row: Any) -> dict[str, Any]:
    return {"/v1/models": {"object": "list", "data": [{"id": "m", **row}]}}


REFUSED: dict[str, Any] = {"/v1/models": "a key is needed"}
ALL_ROUTES = ("/api/version", "/props", "/info", "/health/liveliness", "/readyz")
"""Routes that identify servers; a server with a web page at every path has all of them."""
SERVERS: list[tuple[str, Mapping[str, Any]]] = [
    ("vllm", listing(owned_by="vllm")),
    ("sglang", listing(owned_by="sglang")),
    ("ollama", REFUSED | {"/api/version": {"version": "0.9.6"}}),
    ("llama_cpp", REFUSED | {"/props": {"default_generation_settings": {"n_ctx": 512}}}),
    ("tgi", REFUSED | {"/info": {"model_id": "m"}}),
    ("litellm", listing() | {"/health/liveliness": '"I\'m alive!"'}),
    ("localai", listing() | {"/readyz": ""}),
    ("text_generation_webui", listing() | {"/v1/internal/model/info": {"model_name": "m"}}),
    ("", listing() | {"/api/v0/models": {"data": [{"id": "m"}]}}),
    ("", listing() | dict.fromkeys(ALL_ROUTES, "<!doctype html>")),
    ("", listing()),
]


@pytest.fixture
async def asking_gateway(files: Files) -> AsyncIterator[Gateway]:
    """A gateway that identifies servers and may call this machine."""
    options: dict[str, Any] = {"allowed_addresses": ("127.0.0.0/8",), "identify_within": 5.0}
    async with gateway_on(await files.new(), **options) as gateway:
        yield gateway


@pytest.mark.parametrize(("name", "pages"), SERVERS)
@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/chat/completions"])
async def test_a_server_is_identified_by_its_address_alone(
    name: str, pages: Mapping[str, Any], end: str
) -> None:
    async with FaultyServer(pages=pages) as server:
        root = server.base_url.removesuffix("/v1")
        found = await identify_server(root + end, within=5.0)
    assert found
    assert (found.server, found.base_url) == (name, f"{root}/v1")


@pytest.mark.parametrize(
    ("pages", "tokens"),
    [
        (listing(owned_by="vllm", max_model_len=4096), 4096),
        (listing() | {"/info": {"model_id": "m", "max_total_tokens": 2048}}, 2048),
        (listing() | {"/props": {"default_generation_settings": {"n_ctx": 8192}}}, 8192),
        (listing(context_length="many"), None),
        (listing(), None),
    ],
)
async def test_the_context_length_that_a_server_states_is_used(
    pages: Mapping[str, Any], tokens: int | None
) -> None:
    async with FaultyServer(pages=pages) as server:
        found = await identify_server(server.base_url, within=5.0)
    assert found
    assert found.context_length("m") == tokens


@pytest.mark.parametrize("pages", [REFUSED, REFUSED | {"/readyz": "", "/health/liveliness": "ok"}])
async def test_a_response_with_too_little_evidence_identifies_no_server(
    pages: Mapping[str, Any],
) -> None:
    async with FaultyServer(pages=pages) as server:
        assert await identify_server(server.base_url, within=5.0) is None


async def test_the_key_goes_to_the_address_it_was_given_for() -> None:
    async with FaultyServer(pages=listing(owned_by="vllm")) as server:
        await identify_server(server.base_url, api_key=KEY, within=5.0)
        keys = {headers["authorization"] for _, headers in server.other_requests}
        assert keys == {f"Bearer {KEY}"}
        assert server.requests == []


async def test_an_address_that_is_refused_is_not_asked() -> None:
    async with FaultyServer() as server:
        with pytest.raises(AddressRefusedError):
            await identify_server(server.base_url, guard=AddressGuard(), within=5.0)
        assert server.connections == 0


async def test_an_address_without_a_server_gives_none(unused_url: str) -> None:
    assert await identify_server(unused_url, within=5.0) is None


# --- Adding


async def test_a_new_connection_gets_the_server_that_was_identified(
    asking_gateway: Gateway,
) -> None:
    async with FaultyServer(pages=listing(owned_by="vllm", max_model_len=4096)) as server:
        made = await asking_gateway.connection(base_url=server.base_url, model_name="", api_key=KEY)
    identified = {name: made[name] for name in ("server", "model_name", "context_length")}
    assert identified == {"server": "vllm", "model_name": "m", "context_length": 4096}
    assert made["base_url"] == server.base_url


async def test_values_set_by_hand_are_not_replaced(asking_gateway: Gateway) -> None:
    async with FaultyServer(pages=listing(owned_by="vllm", max_model_len=4096)) as server:
        fields: dict[str, Any] = {"model_name": "mine", "context_length": 512}
        made = await asking_gateway.connection(base_url=server.base_url, server="tgi", **fields)
        assert server.other_requests == []
        other = await asking_gateway.connection(name="b", base_url=server.base_url, **fields)
    assert (made["server"], other["server"]) == ("tgi", "vllm")
    assert (other["model_name"], other["context_length"]) == ("mine", 512)


@pytest.mark.parametrize("pages", [{}, REFUSED])
async def test_an_unknown_server_can_still_be_added(
    asking_gateway: Gateway, pages: Mapping[str, Any]
) -> None:
    async with FaultyServer(pages=pages) as server:
        made = await asking_gateway.connection(base_url=server.base_url)
    assert (made["server"], made["model_name"]) == ("", "m")


async def test_a_server_that_is_down_can_still_be_added(
    asking_gateway: Gateway, unused_url: str
) -> None:
    assert (await asking_gateway.connection(base_url=unused_url))["server"] == ""


async def test_a_server_that_hangs_does_not_delay_adding(files: Files) -> None:
    options: dict[str, Any] = {"allowed_addresses": ("127.0.0.0/8",), "identify_within": 0.05}
    async with (
        gateway_on(await files.new(), **options) as gateway,
        raw_server(hold=True) as address,
    ):
        made = await gateway.connection(base_url=address)
    assert made["server"] == ""


async def test_a_forbidden_address_gets_no_request_when_it_is_added(files: Files) -> None:
    async with (
        gateway_on(await files.new(), identify_within=5.0) as gateway,
        FaultyServer() as server,
    ):
        body = {"name": "inside", "base_url": server.base_url}
        problem(await gateway.call("editor", "POST", "/connections", body), 403)
        assert server.connections == 0
        assert (await gateway.call("admin", "POST", "/connections", body)).status_code == 201
        assert server.connections > 0


# --- Testing


async def test_a_wrong_server_is_reported_and_left_to_a_person(asking_gateway: Gateway) -> None:
    async with FaultyServer(pages=listing(owned_by="vllm")) as server:
        made = await asking_gateway.connection(base_url=server.base_url, server="ollama")
        path = f"/connections/{made['id']}"
        said = (await asking_gateway.call("editor", "POST", f"{path}/test")).json()
    assert (said["ok"], said["server"]) == (True, "vllm")
    assert said["notice"] == (
        'it looks like vLLM, and is asked as Ollama; if that is wrong, set server to "vllm"'
    )
    assert (await asking_gateway.call("editor", "GET", path)).json()["server"] == "ollama"


@pytest.mark.parametrize(("name", "pages"), [SERVERS[0], SERVERS[-1]])
async def test_a_right_server_is_not_reported(
    asking_gateway: Gateway, name: str, pages: Mapping[str, Any]
) -> None:
    async with FaultyServer(pages=pages) as server:
        made = await asking_gateway.connection(base_url=server.base_url)
        said = (
            await asking_gateway.call("editor", "POST", f"/connections/{made['id']}/test")
        ).json()
    assert (said["ok"], said["server"], said["notice"]) == (True, name, "")


async def test_a_server_that_refuses_the_list_of_models_is_still_identified(
    asking_gateway: Gateway,
) -> None:
    script = Script(fault=Fault.STATUS, status=404)
    async with FaultyServer(script, pages=listing(owned_by="vllm")) as server:
        made = await asking_gateway.connection(base_url=server.base_url, server="ollama")
        said = (
            await asking_gateway.call("editor", "POST", f"/connections/{made['id']}/test")
        ).json()
    assert (said["ok"], said["models"]) == (False, ["m"])
    assert "it looks like vLLM" in said["notice"]
