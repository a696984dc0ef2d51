"""Tests every role at every route, cell by cell."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from llm_router.connections.access import Role
from llm_router.gateway.app import AT_ROOT, ROUTES
from llm_router.gateway.errors import OPENAI_PATHS
from llm_router.voice.calls import CallAgent
from llm_router.voice.messages import Message
from tests.contracts.gateway import (
    CLOSED,
    HOST,
    PUBLIC,
    ROLES,
    STRANGER,
    Gateway,
    chat_error,
    problem,
)

EVERYBODY = frozenset(ROLES)
EDITORS: frozenset[Role] = frozenset({"editor", "admin"})
OPERATORS: frozenset[Role] = EDITORS | {"operator"}
USERS: frozenset[Role] = OPERATORS | {"worker"}
ADMINS: frozenset[Role] = frozenset({"admin"})
NEW = {"name": "new", "base_url": PUBLIC}
OFFLINE = {"name": "rules", "provider": "offline"}
PRESET = {"keys": {"openai": "sk-1", "anthropic": "sk-2", "groq": "sk-3"}}
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}]}
MESSAGE = Message(id="m1", text="Call me back.", created_at=datetime(2026, 5, 4, tzinfo=UTC))
SITE = {"name": "shop", "origins": ["https://shop.example"]}
CALL = {"number": "+15550123456"}
HOOK = {"name": "pager", "url": CLOSED, "events": ["connection.deactivated"]}
MADE: dict[str, tuple[str, Any]] = {
    "{planned_id}": ("/calls", CALL),
    "{webhook_id}": ("/webhooks", HOOK),
    "{key_id}": ("/keys", {"name": "x", "role": "viewer"}),
}
"""How what the path of a route names is made."""

ALLOWED: dict[tuple[str, str], tuple[frozenset[Role], Any, int]] = {
    ("GET", "/connections"): (EVERYBODY, None, 200),
    ("POST", "/connections"): (EDITORS, NEW, 201),
    ("GET", "/connections/{connection_id}"): (EVERYBODY, None, 200),
    ("PATCH", "/connections/{connection_id}"): (EDITORS, {"priority": 3}, 200),
    ("DELETE", "/connections/{connection_id}"): (EDITORS, None, 204),
    ("POST", "/connections/{connection_id}/activate"): (OPERATORS, None, 200),
    ("POST", "/connections/{connection_id}/deactivate"): (OPERATORS, None, 200),
    ("POST", "/connections/{connection_id}/rotate-key"): (EDITORS, {"api_key": "sk-new"}, 200),
    ("POST", "/connections/{connection_id}/test"): (OPERATORS, {}, 200),
    ("POST", "/connections/test"): (EDITORS, OFFLINE, 200),
    ("POST", "/connections/{connection_id}/generate"): (USERS, {"prompt": "Hi?"}, 200),
    ("POST", "/generate"): (USERS, {"prompt": "Hi?"}, 404),
    ("GET", "/connections/{connection_id}/models"): (OPERATORS, None, 200),
    ("POST", "/connections/{connection_id}/models/pull"): (EDITORS, {"model": "m"}, 422),
    ("GET", "/connections/{connection_id}/models/pull"): (EVERYBODY, None, 200),
    ("DELETE", "/connections/{connection_id}/models/{name:path}"): (EDITORS, None, 422),
    ("GET", "/connections/{connection_id}/health"): (EVERYBODY, None, 200),
    ("GET", "/connections/{connection_id}/usage"): (EVERYBODY, None, 200),
    ("POST", "/connections/import"): (EDITORS, NEW, 201),
    ("POST", "/connections/apply"): (EDITORS, NEW, 200),
    ("GET", "/connections/export"): (EVERYBODY, None, 200),
    ("GET", "/presets"): (EVERYBODY, None, 200),
    ("POST", "/presets/{name}/apply"): (EDITORS, PRESET, 201),
    ("POST", "/keys"): (ADMINS, {"name": "n", "role": "viewer"}, 201),
    ("GET", "/keys"): (ADMINS, None, 200),
    ("PATCH", "/keys/{key_id}"): (ADMINS, {"routes": ["chat"]}, 200),
    ("DELETE", "/keys/{key_id}"): (ADMINS, None, 204),
    ("GET", "/webhooks"): (ADMINS, None, 200),
    ("POST", "/webhooks"): (ADMINS, HOOK, 201),
    ("GET", "/webhooks/{webhook_id}"): (ADMINS, None, 200),
    ("PATCH", "/webhooks/{webhook_id}"): (ADMINS, {"is_active": False}, 200),
    ("DELETE", "/webhooks/{webhook_id}"): (ADMINS, None, 204),
    ("POST", "/webhooks/{webhook_id}/test"): (ADMINS, None, 200),
    ("GET", "/webhooks/{webhook_id}/deliveries"): (ADMINS, None, 200),
    ("GET", "/assistants"): (USERS, None, 200),
    ("POST", "/assistants"): (EDITORS, {"name": "front-desk"}, 201),
    ("GET", "/assistants/{assistant_name}"): (USERS, None, 200),
    ("PATCH", "/assistants/{assistant_name}"): (EDITORS, {"speed": 1.5}, 200),
    ("DELETE", "/assistants/{assistant_name}"): (EDITORS, None, 204),
    ("GET", "/assistants/{assistant_name}/versions"): (USERS, None, 200),
    ("GET", "/assistants/{assistant_name}/versions/{version}"): (USERS, None, 200),
    ("POST", "/assistants/{assistant_name}/rollback"): (EDITORS, {"to": 1}, 200),
    ("GET", "/assistants/{assistant_name}/diff"): (USERS, None, 200),
    ("POST", "/assistants/{assistant_name}/copy"): (EDITORS, None, 404),
    ("GET", "/sites"): (ADMINS, None, 200),
    ("POST", "/sites"): (ADMINS, {"name": "blog", "origins": ["https://blog.example"]}, 201),
    ("GET", "/sites/{site_name}"): (ADMINS, None, 200),
    ("PATCH", "/sites/{site_name}"): (ADMINS, {"calls_at_once": 2}, 200),
    ("DELETE", "/sites/{site_name}"): (ADMINS, None, 204),
    ("POST", "/sites/{site_name}/rotate-key"): (ADMINS, None, 200),
    ("GET", "/sites/{site_name}/secret"): (ADMINS, None, 200),
    ("GET", "/sites/{site_name}/versions"): (ADMINS, None, 200),
    ("POST", "/sites/{site_name}/rollback"): (ADMINS, {"to": 1}, 200),
    ("GET", "/messages"): (ADMINS, None, 200),
    ("DELETE", "/messages/{message_id}"): (ADMINS, None, 204),
    ("GET", "/me"): (EVERYBODY, None, 200),
    ("DELETE", "/session"): (EVERYBODY, None, 204),
    ("GET", "/audit"): (ADMINS, None, 200),
    ("GET", "/backend/models/status"): (EVERYBODY, None, 200),
    ("POST", "/backend/load"): (EDITORS, {"model_name_or_path": "m"}, 202),
    ("PATCH", "/backend/config"): (EDITORS, {"temperature": 0.5}, 200),
    ("GET", "/analytics/summary"): (EVERYBODY, None, 200),
    ("GET", "/analytics/timeseries"): (EVERYBODY, None, 200),
    ("GET", "/analytics/connections"): (EVERYBODY, None, 200),
    ("GET", "/metrics"): (EVERYBODY, None, 200),
    ("GET", "/chats"): (USERS, None, 200),
    ("POST", "/chats"): (USERS, {}, 201),
    ("GET", "/chats/{chat_id}"): (USERS, None, 200),
    ("PATCH", "/chats/{chat_id}"): (USERS, {"title": "x"}, 200),
    ("DELETE", "/chats/{chat_id}"): (USERS, None, 204),
    ("GET", "/chats/{chat_id}/export"): (USERS, None, 200),
    ("POST", "/chats/{chat_id}/messages"): (USERS, {"content": "Hi?"}, 404),
    ("POST", "/chats/{chat_id}/messages/{number}/regenerate"): (USERS, {}, 404),
    ("POST", "/chats/{chat_id}/messages/{number}/stop"): (USERS, None, 404),
    ("POST", "/chats/{chat_id}/messages/{number}/choose"): (USERS, None, 404),
    ("GET", "/chats/{chat_id}/messages/{number}/stream"): (USERS, None, 404),
    ("GET", "/chats/{chat_id}/messages/{number}/siblings"): (USERS, None, 404),
    ("GET", "/calls"): (ADMINS, None, 200),
    ("GET", "/calls/stream"): (ADMINS, None, 200),
    ("GET", "/calls/figures"): (ADMINS, None, 200),
    ("GET", "/calls/workers"): (ADMINS, None, 200),
    ("GET", "/calls/{call_id}"): (ADMINS, None, 200),
    ("GET", "/calls/{call_id}/stream"): (ADMINS, None, 200),
    ("DELETE", "/calls/{call_id}"): (ADMINS, None, 204),
    ("POST", "/calls"): (OPERATORS, CALL, 202),
    ("POST", "/calls/planned"): (OPERATORS, {"calls": [CALL]}, 202),
    ("GET", "/calls/planned"): (OPERATORS, None, 200),
    ("GET", "/calls/planned/{planned_id}"): (OPERATORS, None, 200),
    ("DELETE", "/calls/planned/{planned_id}"): (OPERATORS, None, 200),
    ("POST", "/calls/{call_id}/listen"): (ADMINS, {"seconds": 60}, 503),
    ("POST", "/calls/{call_id}/whisper"): (ADMINS, {"text": "Be brief."}, 503),
    ("POST", "/calls/{call_id}/take-over"): (ADMINS, None, 503),
    ("POST", "/calls/{call_id}/release"): (ADMINS, None, 503),
    ("POST", "/chat"): (USERS, QUESTION, 404),
    ("GET", "/models"): (USERS, None, 200),
    ("GET", "/local-llm/providers"): (USERS, None, 200),
    ("POST", "/local-llm/proxy"): (USERS, QUESTION, 404),
    ("POST", "/local-llm/stream"): (USERS, QUESTION, 404),
    ("GET", "/local-llm/ollama/list"): (OPERATORS, None, 404),
    ("POST", "/local-llm/ollama/pull"): (EDITORS, {"model": "m"}, 403),
    ("POST", "/local-llm/ollama/delete"): (EDITORS, {"model": "m"}, 403),
    ("POST", "/v1/chat/completions"): (USERS, QUESTION, 404),
    ("POST", "/v1/completions"): (USERS, {"model": "auto", "prompt": "Hi?"}, 404),
    ("POST", "/v1/messages"): (USERS, {**QUESTION, "max_tokens": 9}, 404),
    ("POST", "/v1/messages/count_tokens"): (USERS, QUESTION, 404),
    ("POST", "/v1/responses"): (USERS, {"model": "auto", "input": "Hi?"}, 404),
    ("GET", "/v1/responses/{path:path}"): (USERS, None, 404),
    ("POST", "/v1/responses/{path:path}"): (USERS, None, 404),
    ("DELETE", "/v1/responses/{path:path}"): (USERS, None, 404),
    ("POST", "/v1/embeddings"): (USERS, {"model": "auto", "input": "a"}, 404),
    ("POST", "/v1/audio/speech"): (USERS, {"model": "auto", "input": "a"}, 404),
    ("POST", "/v1/audio/transcriptions"): (USERS, QUESTION, 400),
    ("GET", "/v1/models"): (USERS, None, 200),
    ("GET", "/v1/models/{name:path}"): (USERS, None, 404),
}
"""The roles that may, the body that is sent, and the status of the answer.

The connection is the team's own, and its server pulls no models. No voice server is there. Below
/v1 there is no model, so a chat has no message. The chat is the actor's own, or the editor's where
its role may have none.
"""
READS = sorted(route for route in ALLOWED if route[0] == "GET")
CHANGES = sorted(
    (route, role) for route, (may, _, _) in ALLOWED.items() if route[0] != "GET" for role in may
)
OF_A_CONNECTION = sorted(key for key in ALLOWED if "{connection_id}" in key[1])
FREE = {("POST", "/api/session"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/api/healthz")}
"""Routes that need no key."""


async def filled(gateway: Gateway, path: str, role: Role = "editor") -> str:
    """Returns the path with the ids of things that exist."""
    path = path.replace("{name:path}", "library/m:latest").replace("{number}", "1")
    path = path.replace("{path:path}", "resp_1/cancel")
    if "{chat_id}" in path:
        who = role if role in USERS else "editor"
        made = (await gateway.call(who, "POST", "/chats", {})).json()
        return path.replace("{chat_id}", made["id"])
    if "{call_id}" in path:
        agent = CallAgent(identity="agent-j1", worker="w1", job="j1")
        call = await gateway.services.calls.claim("room", 1, agent, gateway.services.now())
        assert call
        return path.replace("{call_id}", call.id)
    if "{connection_id}" in path:
        made = await gateway.connection(
            **OFFLINE, base_url="", team="red", visibility="team", api_key="sk-0123456789abc"
        )
        return path.replace("{connection_id}", made["id"])
    if path.startswith("/backend"):
        absent = "http://absent.invalid/v1"  # a load there fails in the background
        await gateway.connection(base_url=absent, team="red", visibility="team")
    if "{assistant_name}" in path:
        shared = {"name": "shop", "visibility": "everyone", "owner": "editor"}
        await gateway.call("admin", "POST", "/assistants", shared)
        return path.replace("{assistant_name}", "shop").replace("{version}", "1")
    if "{site_name}" in path:
        await gateway.call("admin", "POST", "/sites", SITE)
        return path.replace("{site_name}", "shop")
    if "{message_id}" in path:
        await gateway.services.messages.take(MESSAGE)
        return path.replace("{message_id}", MESSAGE.id)
    for parameter, (collection, body) in MADE.items():
        if parameter in path:
            made = (await gateway.call("admin", "POST", collection, body)).json()
            return path.replace(parameter, made["id"])
    return path.replace("{name}", "production")


async def test_the_table_names_every_route_there_is(gateway: Gateway) -> None:
    document = (await gateway.client.get("/api/openapi.json")).json()
    documented = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    routes = [route for name in ROUTES.names() for route in ROUTES.load(name).routes]
    plain = [route for route in routes if isinstance(route, APIRoute)]
    written = {(method, _url(route.path)) for route in plain for method in route.methods or ()}
    assert len(plain) == len(routes)
    listed = {(method, _url(path)) for method, path in ALLOWED}
    assert _as_documented(documented | written) - FREE == _as_documented(listed)


def _url(path: str) -> str:
    return path if path.startswith(AT_ROOT) else f"/api{path}"


def refusal(answer: httpx2.Response, status: int, path: str) -> str:
    """Returns the message of an error in the form of the API that the path belongs to."""
    if path.startswith(OPENAI_PATHS):
        return str(chat_error(answer, status)["message"])
    return str(problem(answer, status)["detail"])


def _as_documented(routes: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Returns the routes without the converters of their parameters."""
    return {(method, path.replace(":path}", "}")) for method, path in routes}


@pytest.mark.parametrize(
    ("route", "role"),
    CHANGES,
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
async def test_a_role_may_change_what_the_table_says(
    gateway: Gateway, route: tuple[str, str], role: Role
) -> None:
    method, path = route
    _, body, status = ALLOWED[route]
    answer = await gateway.call(role, method, await filled(gateway, path, role), body)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("route", READS, ids=" ".join)
async def test_the_roles_of_the_table_may_read(gateway: Gateway, route: tuple[str, str]) -> None:
    method, path = route
    may, body, status = ALLOWED[route]
    shared = await filled(gateway, path)
    for role in sorted(may):
        of_its_own = await filled(gateway, path, role) if "{chat_id}" in path else shared
        answer = await gateway.call(role, method, of_its_own, body)
        assert answer.status_code == status, (role, answer.text)


@pytest.mark.parametrize("route", sorted(ALLOWED), ids=" ".join)
async def test_every_route_refuses_other_roles_and_callers_without_a_key(
    gateway: Gateway, route: tuple[str, str]
) -> None:
    method, path = route
    path = await filled(gateway, path)
    for role in EVERYBODY - ALLOWED[route][0]:
        answer = await gateway.call(role, method, path, ALLOWED[route][1])
        assert "ask an admin" in refusal(answer, 403, path)
    cookie = {"Cookie": "patchbay_session=no", "Origin": HOST}
    bearer, own = {"Authorization": "Bearer pb_no"}, {"x-api-key": "pb_no"}
    for headers in ({}, bearer, own, cookie):
        answer = await gateway.call("", method, path, ALLOWED[route][1], headers=headers)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "No valid API key" in refusal(answer, 401, path)


@pytest.mark.parametrize("route", OF_A_CONNECTION, ids=" ".join)
async def test_a_connection_of_another_team_is_not_found(
    gateway: Gateway, route: tuple[str, str]
) -> None:
    (method, path), body = route, ALLOWED[route][1]
    hidden = await gateway.call(STRANGER, method, await filled(gateway, path), body)
    nowhere = path.replace("{connection_id}", "none").replace("{name:path}", "m")
    absent = await gateway.call(STRANGER, method, nowhere, body)
    assert "there is no connection" in problem(hidden, 404)["detail"]
    assert problem(absent, 404)["title"] == problem(hidden, 404)["title"]


async def test_a_stranger_lists_and_exports_nothing_of_others(gateway: Gateway) -> None:
    await filled(gateway, "{connection_id}")
    assert (await gateway.call(STRANGER, "GET", "/connections")).json()["total"] == 0
    assert (await gateway.call(STRANGER, "GET", "/connections/export")).json() == {
        "connections": []
    }
    assert (await gateway.call("viewer", "GET", "/connections")).json()["total"] == 1
