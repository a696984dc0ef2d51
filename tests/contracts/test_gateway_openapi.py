"""Tests the OpenAPI document, and the API with requests generated from it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from llm_router.connections.record import Serves
from llm_router.gateway.errors import OPENAI_PATHS
from llm_router.gateway.rates import RateLimit
from llm_router.testing.server import FaultyServer, Script
from tests.contracts.gateway import Gateway
from tests.contracts.noting_supervisor import Supervisor
from tests.contracts.threads import Api, api_on_a_socket, in_a_thread

UNLIMITED = RateLimit("1000000/second")
LIMITS = ("request_limit", "unauthenticated_limit", "sign_in_limit", "all_sign_ins_limit")
FOR_ADMINS = ("/api/calls", "/api/sites", "/api/keys", "/api/audit", "/api/webhooks")
EXAMPLE = "6f0c7ad4-8a5e-4a8e-9f53-0d4a3f2b7c11"
"""The example id of the document."""


class Asked:
    """The API on a real socket, in a thread of its own, because schemathesis knows no asyncio."""

    def __init__(self, api: Api) -> None:
        self.url, self._keys = api.url, api.keys

    def headers(self, path: str) -> dict[str, str]:
        who = "admin" if path.startswith(FOR_ADMINS) else "editor"
        return {"Authorization": f"Bearer {self._keys[who]}"}

    def add_example(self) -> None:
        """Creates the connection of that id, in case the last request deleted it."""
        row = {"id": EXAMPLE, "name": "example", "provider": "offline"}
        headers = self.headers("")
        answer = httpx2.post(f"{self.url}/api/connections/import", json=row, headers=headers)
        assert answer.status_code in {201, 409}


@asynccontextmanager
async def api_with_models(url: str) -> AsyncIterator[Api]:
    """Serves the API, with a connection for each kind of request below /v1."""
    limits = dict.fromkeys(LIMITS, UNLIMITED)
    passed_on = Script(raw=[b"{}"], content_type="application/json")
    routes = ("/embeddings", "/audio/speech", "/audio/transcriptions")
    async with (
        api_on_a_socket(
            url, allowed_addresses=("127.0.0.0/8",), supervisor=Supervisor(), **limits
        ) as api,
        FaultyServer() as chats,
        FaultyServer(passed_on, chat_paths=routes) as others,
    ):
        for serves in get_args(Serves):
            address = (chats if serves == "chat" else others).base_url
            await api.gateway.connection(name=serves, serves=serves, base_url=address)
        yield api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Asked]:
    with in_a_thread(api_with_models(f"sqlite:///{tmp_path}/api.sqlite3")) as api:
        yield Asked(api)


def name_a_model(case: schemathesis.Case[Any]) -> None:
    """Replaces a made-up name of a model, which would only be answered with a 404."""
    if case.path.startswith(OPENAI_PATHS) and isinstance(case.body, dict):
        model = case.body.get("model")
        if isinstance(model, str) and 0 < len(model) <= 300:
            case.body["model"] = "auto"


def requests_are_answered_as_declared(operation: Any, api: Asked) -> None:
    """Sends some valid and some invalid requests to one operation."""
    headers = api.headers(operation.path)

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def answered_as_declared(case: schemathesis.Case[Any]) -> None:
        name_a_model(case)
        answer = case.call(headers=headers)
        # Some of what a record must be (a name that is not blank) no schema can say.
        case.validate_response(answer, headers=headers, excluded_checks=[positive_data_acceptance])

    answered_as_declared()


@pytest.mark.timeout(600)
def test_no_request_breaks_it_and_every_answer_is_as_declared(api: Asked) -> None:
    document = schemathesis.openapi.from_url(f"{api.url}/api/openapi.json")
    asked = 0
    for found in document.get_all_operations():
        assert isinstance(found, Ok)
        api.add_example()
        requests_are_answered_as_declared(found.ok(), api)
        asked += 1
    assert asked > 20


async def test_the_document_reads_well(gateway: Gateway) -> None:
    """Checks that each route has a name, a description, a tag and its problems."""
    document = (await gateway.client.get("/api/openapi.json")).json()
    operations = [o for path in document["paths"].values() for o in path.values()]
    paths = [path for path, methods in document["paths"].items() for _ in methods]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() and "_" not in name for name in names)
    assert {"listConnections", "createConnection", "updateConnection"} <= {*names}
    for path, operation in zip(paths, operations, strict=True):
        form = "json" if path.startswith("/v1/") else "problem+json"
        assert operation["description"], operation["operationId"]
        assert operation["tags"], operation["operationId"]
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == [f"application/{form}"]
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    assert {"ConnectionRead", "ConnectionCreate", "ConnectionUpdate"} <= schemas.keys()
    assert (
        schemas["ConnectionCreate"]["properties"]["priority"]["description"]
        == "Lower values are tried first."
    )
    assert {"api_key", "headers"}.isdisjoint(schemas["ConnectionRead"]["properties"])
