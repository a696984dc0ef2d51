"""Every field of a connection changes something: a field that nothing reads fails here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest

from llm_router.catalog.prices import price_of
from llm_router.catalog.servers import adapt, api_root, find_server
from llm_router.clock import SystemClock
from llm_router.connections.access import SYSTEM, Actor, can_see
from llm_router.connections.record import STORE_MANAGED_FIELDS, Connection
from llm_router.connections.store import Query
from llm_router.errors import StatusError
from llm_router.gateway.completions.models import listed
from llm_router.options import BreakerOptions
from llm_router.providers._wire.http import request_headers
from llm_router.providers._wire.request import build_body
from llm_router.providers.base import PROVIDERS
from llm_router.providers.livekit_plugin.plugins import PLUGINS
from llm_router.routing.eligibility import obstacles, reductions
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.limits import Limits
from llm_router.routing.policies.priority import Priority
from llm_router.routing.pool import Pool
from llm_router.sync.endpoints import EndpointSet
from llm_router.testing import (
    HANG,
    InMemoryConnectionStore,
    ManualClock,
    ScriptedProvider,
    Step,
    fail,
    say,
)
from llm_router.types import ChatRequest
from tests.scenarios.stage import Stage

PLAIN = Connection(id="1", name="plain", base_url="https://api.openai.com/v1", model_name="m")
AZURE = {"base_url": "https://mine.openai.azure.com", "api_version": "2024-10-21"}
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
ASKED = ChatRequest(
    messages=[{"role": "user", "content": [PICTURE]}],
    tools=[{"type": "function", "function": {"name": "lookup"}}],
    response_format={"type": "json_object"},
    pool="default",
)
ANNA = Actor("anna", "viewer", owner="anna", team="red")
OF_TEAM = {"owner": "ben", "visibility": "team"}


def request(connection: Connection) -> object:
    """Returns what a server of chat completions receives."""
    server = find_server(connection)
    adapted = adapt(connection, server)
    head = request_headers(adapted, "*/*", server.key_header, server.key_prefix)
    return api_root(adapted.base_url, server), head, build_body(HELLO, adapted, server, "words")


def provider(connection: Connection) -> object:
    made = PROVIDERS.load(connection.provider)(connection, SystemClock())
    return type(made), made.continuation


def bedrock(connection: Connection) -> object:
    """Returns the region that the plugin for Bedrock is given."""
    return PLUGINS["aws"].construct(connection)["region"]


def endpoint(connection: Connection) -> Endpoint:
    return Endpoint(connection, ScriptedProvider([[HANG]], clock=ManualClock()))


def models_of(connection: Connection) -> object:
    return [model.id for model in listed([endpoint(connection)])]


def takes(connection: Connection) -> object:
    """Returns what stands against asking it, and what would be left out of the request."""
    one = endpoint(connection)
    reasons = [
        [*obstacles(one, replace(ASKED, integration=integration))]
        for integration in ("livekit", "mcp", "automation")
    ]
    return reasons, [*reductions(one, ASKED, 1_000)]


def order(connection: Connection) -> object:
    endpoints = [endpoint(connection), endpoint(Connection(name="other"))]
    return [one.name for one in Pool(endpoints, Priority(), 0.8).plan(HELLO, 0.0).ready]


def limit(connection: Connection) -> object:
    """Returns the limit that a few requests reach."""
    limits = Limits(connection, 0.0)
    for _ in range(3):
        limits.request_started(1_000, 0.0)
        limits.request_ended(0, 1.0, 0.0)
    return limits.reached(0.0)


def attempts_of(*scripts: Sequence[Sequence[Step]]) -> Callable[[Connection], object]:
    """Returns the observation of a reply whose last endpoint is of the connection."""

    def attempts(connection: Connection) -> object:
        stage = Stage(*scripts)
        last = stage.connections[-1]
        stage.connections[-1] = replace(connection, name=last.name, priority=last.priority)
        stage.ask()
        return stage.outcomes

    return attempts


def found(connection: Connection) -> object:
    """Returns what a search in the store finds."""

    async def find() -> list[str]:
        store = InMemoryConnectionStore()
        await store.add(SYSTEM, [connection])
        queries = [Query(text="wine"), Query(tags=("gpu",))]
        return [c.id for query in queries for c in (await store.find(SYSTEM, query)).items]

    return ManualClock().run(find())


def address_of(connection: Connection) -> object:
    """Returns the id by which the store finds it."""

    async def get() -> str:
        store = InMemoryConnectionStore()
        [stored] = await store.add(SYSTEM, [connection])
        return (await store.get(SYSTEM, stored.id)).id

    return ManualClock().run(get())


def may_see(connection: Connection) -> object:
    return can_see(ANNA, connection)


def refused(connection: Connection) -> object:
    """Returns why no endpoint is made of it."""

    async def make() -> list[str]:
        pool = Pool([], Priority(), 0.8)
        endpoints = EndpointSet(pool, SystemClock(), BreakerOptions())
        reasons = await endpoints.set_connections({"1": connection})
        await endpoints.aclose()
        return [type(reason).__name__ for reason in reasons.values()]

    return ManualClock().run(make())


SLOW = [say("We open at nine.", first=1.0)]
EFFECTS: Mapping[str, tuple[Callable[[Connection], object], object, Mapping[str, Any]]] = {
    "id": (address_of, "2", {}),
    "name": (found, "wine cellar", {}),
    "description": (found, "beside the wine", {}),
    "tags": (found, ("gpu",), {}),
    "connection_type": (
        price_of, "openai", {"base_url": "http://proxy:8000/v1", "model_name": "gpt-4.1"},
    ),
    "provider": (provider, "ollama", {}),
    "server": (request, "vllm", {}),
    "base_url": (request, "http://10.0.0.5:8000/v1", {}),
    "model_name": (request, "other", {}),
    "aliases": (models_of, ("fast",), {}),
    "serves": (takes, "embeddings", {}),
    "api_key": (request, "sk-0123456789", {}),
    "headers": (request, {"X-Team": "red"}, {}),
    "organization_id": (request, "org-1", {}),
    "api_version": (request, "2024-10-21", {**AZURE, "api_version": ""}),
    "deployment": (request, "mine", AZURE),
    "region": (bedrock, "eu-central-1", {}),
    "timeout": (attempts_of(SLOW), 0.5, {}),
    "max_retries": (attempts_of([fail(StatusError(503))]), 0, {}),
    "extra_body": (request, {"seed": 1}, {}),
    "temperature": (request, 0.5, {}),
    "top_p": (request, 0.5, {}),
    "max_tokens": (request, 5, {}),
    "context_length": (takes, 10, {}),
    "supports_tools": (takes, False, {}),
    "supports_images": (takes, True, {}),
    "supports_json": (takes, False, {}),
    "continuation": (provider, "prefix", {}),
    "is_active": (takes, False, {}),
    "use_in_livekit": (takes, False, {}),
    "use_in_mcp": (takes, False, {}),
    "use_in_automation": (takes, False, {}),
    "pool": (takes, "night", {}),
    "priority": (order, 5, {}),
    "weight": (order, 0.0, {}),
    "hedge": (attempts_of(SLOW, [say("We open at nine.")]), "never", {}),
    "price_in": (price_of, 1.0, {"price_out": 1.0}),
    "price_out": (price_of, 2.0, {"price_in": 1.0}),
    "rate_limit_rpm": (limit, 1, {}),
    "rate_limit_tpm": (limit, 1_000, {}),
    "monthly_budget": (limit, 2.0, {}),
    "owner": (may_see, "anna", {}),
    "team": (may_see, "red", OF_TEAM),
    "visibility": (may_see, "everyone", {}),
    "is_guarded": (refused, True, {"provider": "livekit_plugin", "server": "openai"}),
}  # fmt: skip
"""By field: what notices it, a value other than the default, and other fields that it needs."""
REPORTS = {*STORE_MANAGED_FIELDS} - {"owner", "is_guarded"}
"""Fields that the store sets, for people to read."""


@pytest.mark.parametrize("name", [field.name for field in fields(Connection)])
def test_every_field_that_a_person_sets_changes_something(name: str) -> None:
    if name in REPORTS:
        assert name not in EFFECTS
        return
    observe, value, others = EFFECTS[name]
    before = replace(PLAIN, **others)
    changes: dict[str, Any] = {name: value}
    after = replace(before, **changes)
    assert getattr(before, name) != value
    assert observe(before) == observe(before)
    assert observe(after) != observe(before)
