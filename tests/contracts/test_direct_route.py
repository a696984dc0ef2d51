"""Tests of the routes whose endpoints are called without FastAPI's search for their arguments."""

from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from llm_router.connections.access import Actor
from llm_router.gateway.app import ROUTES, build_local_app
from llm_router.gateway.direct_route import DirectRoute
from tests.contracts.gateway import Gateway, one_server

HELLO = [{"role": "user", "content": "Hello!"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO},
    "/v1/completions": {"prompt": "Hello!"},
    "/v1/messages": {"messages": HELLO, "max_tokens": 9},
    "/v1/responses": {"input": "Hello!"},
}


def routes() -> dict[str, APIRoute]:
    found = [route for name in ROUTES.names() for route in ROUTES.load(name).routes]
    posts = [one for one in found if isinstance(one, APIRoute) and "POST" in (one.methods or ())]
    return {route.path: route for route in posts}


@pytest.mark.parametrize("path", BODIES)
def test_the_endpoints_of_replies_are_called_directly(path: str) -> None:
    route = routes()[path]
    assert isinstance(route, DirectRoute)
    assert route.get_route_handler() == route._call


def test_an_endpoint_with_other_needs_is_called_as_fastapi_does() -> None:
    route = routes()["/v1/messages/count_tokens"]
    assert isinstance(route, DirectRoute)
    assert route.get_route_handler() != route._call


@pytest.mark.parametrize("path", BODIES)
async def test_they_answer_with_a_key_alone(gateway: Gateway, path: str) -> None:
    body = {"model": "auto", **BODIES[path]}
    async with one_server(gateway, who="admin", visibility="everyone"):
        answer = await gateway.call("editor", "POST", path, body)
        assert answer.status_code == 200, answer.text
        assert (await gateway.call("nobody", "POST", path, body)).status_code == 401
        assert (await gateway.call("viewer", "POST", path, body)).status_code == 403
        by_header = {"x-api-key": gateway.keys["editor"]}
        answer = await gateway.client.post(path, json=body, headers=by_header)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", BODIES)
async def test_the_operator_of_this_machine_needs_none(gateway: Gateway, path: str) -> None:
    operator = Actor(name="admin", role="admin")
    local = build_local_app(gateway.services, operator)
    transport = httpx2.ASGITransport(app=local)
    async with (
        one_server(gateway, who="admin"),
        httpx2.AsyncClient(transport=transport, base_url="http://local") as client,
    ):
        answer = await client.post(path, json={"model": "auto", **BODIES[path]})
    assert answer.status_code == 200, answer.text
