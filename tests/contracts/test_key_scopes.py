"""Tests API keys that are limited to routes, pools, an integration or a time."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llm_router.connections.access import SYSTEM, Role, RouteGroup
from llm_router.gateway.errors import OPENAI_PATHS
from llm_router.gateway.rates import RateLimit
from llm_router.gateway.scopes import group_of, spends
from llm_router.management.first_key import ensure_admin
from llm_router.store.api_keys import ApiKeys, KeyLimits
from llm_router.testing import ManualClock
from llm_router.testing.server import FaultyServer
from tests.contracts.databases import Files, opened
from tests.contracts.gateway import HOST, PUBLIC, Gateway, gateway_on, openai_error, problem

QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}]}
COMPLETIONS = "/v1/chat/completions"
FREE = {"/api/session", "/healthz", "/readyz"}
LOCAL = ("127.0.0.0/8",)
OFTEN = RateLimit("100000/minute")


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(
        await files.new(), allowed_addresses=LOCAL, request_limit=OFTEN
    ) as gateway:
        yield gateway


async def limited(
    gateway: Gateway, name: str, role: Role = "editor", *, team: str = "red", **limits: Any
) -> str:
    """Adds a key with limits, with which the actor of that name asks; returns its id."""
    owner = "" if role in {"admin", "worker"} else name
    key, gateway.keys[name] = await gateway.services.keys.add(
        SYSTEM, name, role, owner=owner, team=team, limits=KeyLimits(**limits)
    )
    return key.id


async def routes_of(gateway: Gateway) -> list[tuple[str, str]]:
    """Returns every method and path of the OpenAPI document that needs a key."""
    document = (await gateway.client.get("/api/openapi.json")).json()
    return [
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if path not in FREE
    ]


def concrete(path: str) -> str:
    return path.replace("{key_id}", "0" * 12).replace("{", "").replace("}", "")


async def forms_of(gateway: Gateway, who: str) -> Mapping[str, Mapping[str, str]]:
    """Returns the headers of each form in which the key of an actor can be sent."""
    key = gateway.keys[who]
    answer = await gateway.client.post("/api/session", json={"api_key": key})
    cookie = answer.headers["set-cookie"].split(";")[0]
    gateway.client.cookies.clear()
    return {
        "bearer": {"Authorization": f"Bearer {key}"},
        "bearer in small letters": {"authorization": f"bearer {key}"},
        "x-api-key": {"X-API-Key": key},
        "both": {"Authorization": f"Bearer {key}", "x-api-key": gateway.keys["admin"]},
        "beside an empty bearer": {"Authorization": "Bearer ", "x-api-key": key},
        "beside basic": {"Authorization": "Basic YTpi", "x-api-key": key},
        "cookie": {"Cookie": cookie, "Origin": HOST},
    }


# ── Routes ───────────────────────────────────────────────────────────────────────────────────────


async def test_every_form_of_a_key_is_limited_to_its_routes_on_every_route(
    gateway: Gateway,
) -> None:
    await limited(gateway, "nowhere", "admin", routes=("mcp",))
    forms = await forms_of(gateway, "nowhere")
    asked = 0
    for method, path in await routes_of(gateway):
        if group_of(path) in {None, "mcp"}:
            continue
        for name, headers in forms.items():
            answer = await gateway.client.request(method, concrete(path), headers=headers, json={})
            refused = f"{method} {path} by {name}: {answer.status_code} {answer.text}"
            assert answer.status_code == 403, refused
            assert "is limited to mcp" in answer.text, refused
            asked += 1
    assert asked > 100


@pytest.mark.parametrize(
    ("group", "reached", "refused"),
    [
        ("chat", "/v1/models", "/api/connections"),
        ("monitor", "/api/analytics/summary", "/v1/models"),
        ("manage", "/api/connections", "/api/analytics/summary"),
        ("chats", "/api/me", "/api/connections"),
    ],
)
async def test_a_key_reaches_the_routes_that_it_is_limited_to(
    gateway: Gateway, group: RouteGroup, reached: str, refused: str
) -> None:
    await limited(gateway, "kim", routes=(group,))
    headers = {"x-api-key": gateway.keys["kim"]}
    assert (await gateway.client.get(reached, headers=headers)).status_code == 200
    answer = await gateway.client.get(refused, headers=headers)
    if refused.startswith(OPENAI_PATHS):
        assert openai_error(answer, 403)["code"] == "out_of_scope"
    else:
        assert group in problem(answer, 403, "out-of-scope")["detail"]


async def test_no_route_answers_a_path_with_a_line_break(gateway: Gateway) -> None:
    await limited(gateway, "kim", "admin", routes=("manage",), monthly_tokens=0)
    routes = [*await routes_of(gateway), *(("POST", path) for path in (*FREE, "/mcp"))]
    for method, path in routes:
        assert group_of(f"{concrete(path)}\n") == group_of(concrete(path))
        assert spends(method, f"{concrete(path)}\n") == spends(method, concrete(path))
        for name in ("kim", "admin"):
            headers = {"x-api-key": gateway.keys[name]}
            for ending in ("%0A", "%0D%0A", "%00"):
                answer = await gateway.client.request(
                    method, concrete(path) + ending, headers=headers, json={}
                )
                assert answer.status_code == 404, (method, path, ending, answer.text)
                assert "control character" in answer.text


async def test_every_post_of_replies_spends_but_for_those_that_no_model_answers(
    gateway: Gateway,
) -> None:
    posts = {path for method, path in await routes_of(gateway) if method == "POST"}
    asked = {path for path in posts if group_of(path) in {"chat", "chats"}}
    assert len(asked) > 10
    assert {path for path in asked if not spends("POST", path)} == {
        "/v1/messages/count_tokens",
        "/api/chats",
        "/api/chats/{chat_id}/messages/{number}/stop",
        "/api/chats/{chat_id}/messages/{number}/choose",
        "/api/local-llm/ollama/pull",
        "/api/local-llm/ollama/delete",
    }
    assert not any(spends("POST", path) for path in posts - asked)


async def test_a_key_says_what_it_is_limited_to(gateway: Gateway) -> None:
    await limited(gateway, "kim", routes=("chat",), pools=("fast",), integration="livekit")
    me = (await gateway.call("kim", "GET", "/me")).json()
    assert (me["routes"], me["pools"], me["integration"]) == (["chat"], ["fast"], "livekit")
    assert (await gateway.call("editor", "GET", "/me")).json()["routes"] is None


# ── Pools ────────────────────────────────────────────────────────────────────────────────────────


async def test_connections_of_other_pools_are_not_there(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        made = {
            pool: await gateway.connection(
                name=pool, pool=pool, base_url=server.base_url, team="red", visibility="team"
            )
            for pool in ("fast", "slow")
        }
        await limited(gateway, "kim", pools=("fast",))
        listed = (await gateway.call("kim", "GET", "/connections")).json()
        assert [one["name"] for one in listed["items"]] == ["fast"]
        slow = f"/connections/{made['slow']['id']}"
        problem(await gateway.call("kim", "GET", slow), 404, "not-found")
        problem(await gateway.call("kim", "POST", f"{slow}/generate", {"prompt": "Hi"}), 404)
        for model in ("slow", made["slow"]["id"]):
            answer = await gateway.call("kim", "POST", COMPLETIONS, {**QUESTION, "model": model})
            assert "slow" not in openai_error(answer, 404)["message"].replace(repr(model), "")
        answer = await gateway.call("kim", "POST", COMPLETIONS, QUESTION)
        assert answer.headers["x-patchbay-connection"] == "fast"


@pytest.mark.parametrize("role", ["editor", "admin"])
async def test_a_key_moves_nothing_into_or_out_of_its_pools(gateway: Gateway, role: Role) -> None:
    await limited(gateway, "kim", role, pools=("fast",))
    body = {"name": "new", "base_url": PUBLIC, "pool": "slow"}
    refused = problem(await gateway.call("kim", "POST", "/connections", body), 403)
    assert "is not for the pool 'slow'" in refused["detail"]
    made = await gateway.connection("kim", pool="fast")
    moved = await gateway.call("kim", "PATCH", f"/connections/{made['id']}", {"pool": "slow"})
    problem(moved, 403, "forbidden")
    edited = await gateway.call("kim", "PATCH", f"/connections/{made['id']}", {"priority": 3})
    assert edited.status_code == 200


async def test_an_admin_with_pools_sees_no_figures_of_others(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        await gateway.connection(name="slow", pool="slow", base_url=server.base_url)
        await gateway.call("editor", "POST", COMPLETIONS, QUESTION)
        await gateway.services.chat_router.aclose()  # which writes the rest of its usage
    await limited(gateway, "kim", "admin", pools=("fast",))
    figures = [
        (await gateway.call(who, "GET", "/analytics/summary")).json()["figures"]["requests"]
        for who in ("admin", "kim")
    ]
    assert figures == [1, 0]


# ── Integration ──────────────────────────────────────────────────────────────────────────────────


async def test_the_integration_decides_which_connections_answer(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        flags: dict[str, dict[str, Any]] = {
            "voice": {"use_in_livekit": True, "use_in_automation": False},
            "script": {"use_in_livekit": False, "use_in_automation": True},
        }
        for name, flagged in flags.items():
            await gateway.connection(
                name=name, base_url=server.base_url, team="red", visibility="team", **flagged
            )
        await limited(gateway, "kim", integration="livekit")
        answers = {who: await gateway.call(who, "POST", COMPLETIONS, QUESTION)
                   for who in ("kim", "operator")}  # fmt: skip
        asked = {who: answer.headers["x-patchbay-connection"] for who, answer in answers.items()}
        assert asked == {"kim": "voice", "operator": "script"}
        for who, name in asked.items():
            text = await gateway.call(who, "POST", "/generate", {"prompt": "Hi?"})
            assert text.json()["connection"] == name
        listed = (await gateway.call("kim", "GET", "/v1/models")).json()["data"]
        assert [one["id"] for one in listed if one["owned_by"] == "patchbay:connection"] == [
            "voice"
        ]
        await gateway.services.chat_router.aclose()
    groups = (await gateway.call("admin", "GET", "/analytics/summary")).json()["integrations"]
    assert {group["integration"] for group in groups} == {"automation", "livekit"}


async def test_a_connection_that_is_not_approved_for_calls_answers_none(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        await limited(gateway, "kim", integration="livekit")
        made = await gateway.connection("kim", base_url=server.base_url, use_in_livekit=True)
        assert made["is_approved_for_calls"] is False
        openai_error(await gateway.call("kim", "POST", COMPLETIONS, QUESTION), 404)
        path = f"/connections/{made['id']}/generate"
        refused = problem(await gateway.call("kim", "POST", path, {"prompt": "Hi?"}), 403)
        assert "it is not approved for calls" in refused["detail"]
        assert not server.requests


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def hour(files: Files) -> AsyncIterator[tuple[Gateway, ManualClock]]:
    """The API with a key of `kim`, an admin, which ends after an hour by the clock."""
    clock = ManualClock()
    url = await files.new()
    often: dict[str, Any] = {"unauthenticated_limit": OFTEN, "request_limit": OFTEN, "clock": clock}
    async with (
        opened(url) as database,
        gateway_on(url, keys=ApiKeys(database, clock), **often) as gateway,
    ):
        until = gateway.services.now() + timedelta(hours=1)
        await limited(gateway, "kim", "admin", expires_at=until)
        yield gateway, clock


async def test_an_expired_key_is_refused_on_every_route_with_the_reason(
    hour: tuple[Gateway, ManualClock],
) -> None:
    gateway, clock = hour
    forms = dict(await forms_of(gateway, "kim"))
    cookie = forms.pop("cookie")
    assert (await gateway.call("kim", "GET", "/me")).status_code == 200
    clock.advance(3_600)
    for method, path in await routes_of(gateway):
        for headers in forms.values():
            answer = await gateway.client.request(method, concrete(path), headers=headers, json={})
            assert answer.status_code == 401, (method, path)
            assert "The API key 'kim'" in answer.text
            assert "expired at" in answer.text
            assert answer.headers["www-authenticate"] == "Bearer"
    problem(await gateway.client.get("/api/me", headers=cookie), 401, "unauthenticated")
    sign_in = await gateway.client.post("/api/session", json={"api_key": gateway.keys["kim"]})
    problem(sign_in, 401, "key-expired")
    wrong = {"x-api-key": gateway.keys["kim"][:-4] + "0000"}
    problem(await gateway.client.get("/api/me", headers=wrong), 401, "unauthenticated")


async def test_lists_say_which_keys_still_work(hour: tuple[Gateway, ManualClock]) -> None:
    gateway, clock = hour
    revoked = await limited(gateway, "ben")
    await gateway.call("admin", "DELETE", f"/keys/{revoked}")
    clock.advance(3_600)
    listed = (await gateway.call("admin", "GET", "/keys")).json()["items"]
    states = {item["name"]: item["state"] for item in listed}
    assert (states["kim"], states["ben"], states["editor"]) == ("expired", "revoked", "valid")


# ── Changes ──────────────────────────────────────────────────────────────────────────────────────


async def test_limits_are_given_changed_and_taken_away(gateway: Gateway) -> None:
    body = {"name": "kim", "role": "editor", "routes": ["chat", "chat", "mcp"], "pools": ["fast"]}
    made = (await gateway.call("admin", "POST", "/keys", body)).json()
    assert (made["routes"], made["pools"]) == (["chat", "mcp"], ["fast"])
    gateway.keys["kim"] = made["key"]
    problem(await gateway.call("kim", "GET", "/connections"), 403, "out-of-scope")
    path = f"/keys/{made['id']}"
    changes = {"routes": None, "integration": "livekit", "expires_at": "2990-01-01T00:00:00Z"}
    changed = (await gateway.call("admin", "PATCH", path, changes)).json()
    unchanged = {name: made[name] for name in made if name not in {"key", "last_used_at"}}
    assert changed == unchanged | changes | {"last_used_at": changed["last_used_at"]}
    assert (await gateway.call("kim", "GET", "/connections")).status_code == 200
    entry = (await gateway.call("admin", "GET", "/audit")).json()["items"][0]
    assert (entry["action"], entry["kind"], entry["target"]) == ("edit", "api_key", made["id"])
    assert entry["before"] == {
        "routes": ["chat", "mcp"], "integration": "automation", "expires_at": None,
    }  # fmt: skip
    assert entry["after"] == {**changes, "expires_at": "2990-01-01T00:00:00+00:00"}


@pytest.mark.parametrize(
    "limits",
    [
        {"routes": []},
        {"routes": ["everything"]},
        {"pools": []},
        {"pools": [""]},
        {"integration": "mcp"},
        {"integration": None},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2990-01-01T00:00:00"},
        {"role": "admin"},
    ],
)
async def test_limits_that_mean_nothing_are_refused(
    gateway: Gateway, limits: Mapping[str, Any]
) -> None:
    id_ = await limited(gateway, "kim")
    problem(await gateway.call("admin", "PATCH", f"/keys/{id_}", limits), 422)


async def test_a_revoked_key_cannot_be_changed(gateway: Gateway) -> None:
    id_ = await limited(gateway, "kim")
    await gateway.call("admin", "DELETE", f"/keys/{id_}")
    problem(await gateway.call("admin", "PATCH", f"/keys/{id_}", {"routes": None}), 404)
    problem(await gateway.call("admin", "PATCH", "/keys/000000000000", {"routes": None}), 404)


@pytest.mark.parametrize("limits", [{"routes": ("manage",)}, {"pools": ("fast",)}])
async def test_an_admin_with_a_limit_cannot_lift_it(
    gateway: Gateway, limits: Mapping[str, Any]
) -> None:
    id_ = await limited(gateway, "kim", "admin", **limits)
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/keys", {"name": "x", "role": "admin"}),
        ("PATCH", f"/keys/{id_}", {"routes": None, "pools": None}),
        ("GET", "/keys", None),
        ("GET", "/audit", None),
        ("GET", "/webhooks", None),
    ]
    for method, path, body in calls:
        answer = await gateway.call("kim", method, path, body)
        assert "its API key has limits" in problem(answer, 403, "forbidden")["detail"]


async def test_the_first_admin_key_is_made_where_every_other_has_limits(
    files: Files, tmp_path: Path
) -> None:
    async with opened(await files.new()) as database:
        keys = ApiKeys(database)
        await keys.add(SYSTEM, "kim", "admin", limits=KeyLimits(routes=("chat",)))
        await ensure_admin(keys, tmp_path / "admin.key")
        assert await keys.authenticate((tmp_path / "admin.key").read_text().strip())
