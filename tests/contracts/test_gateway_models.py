"""Tests pulling and deleting models at a connection's server over HTTP."""

from typing import Any

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.gateway.deps import Services
from llm_router.testing.server import FaultyServer
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, problem


@pytest.fixture
async def open_gateway(files: Files) -> Any:
    """Opens an API in which every actor may have this machine called."""
    async with gateway_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as gateway:
        yield gateway


async def models_path(gateway: Gateway, server: FaultyServer, **fields: Any) -> str:
    made = await gateway.connection(
        base_url=server.base_url, provider="ollama", model_name="tiny", **fields
    )
    return f"/connections/{made['id']}/models"


async def ended(gateway: Gateway, path: str) -> dict[str, Any]:
    """Waits for the end of the latest pull, and returns it."""
    while True:
        answer = await gateway.call("editor", "GET", f"{path}/pull")
        latest: dict[str, Any] = answer.json()["items"][0]
        if latest["finished_at"]:
            return latest


async def test_a_model_is_pulled_in_the_background_with_its_progress(
    open_gateway: Gateway,
) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_gateway, server)
        answer = await open_gateway.call("editor", "POST", f"{path}/pull", {"model": "qwen3:4b"})
        assert answer.status_code == 202
        assert (answer.json()["model"], answer.json()["state"]) == ("qwen3:4b", "pulling")
        done = await ended(open_gateway, path)
        listed = (await open_gateway.call("editor", "GET", path)).json()["models"]
    assert (done["state"], done["status"], done["error"]) == ("done", "success", "")
    assert "qwen3:4b" in listed
    audit = (await open_gateway.call("admin", "GET", "/audit")).json()["items"]
    assert "pull model" in {entry["action"] for entry in audit}


async def test_the_connection_s_own_model_is_meant_unless_one_is_named(
    open_gateway: Gateway,
) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_gateway, server)
        await open_gateway.call("editor", "POST", f"{path}/pull")
        assert (await ended(open_gateway, path))["model"] == "tiny"


async def test_a_running_pull_is_not_started_again_and_can_be_stopped(
    open_gateway: Gateway,
) -> None:
    async with FaultyServer() as server:
        server.ollama.pull_gap = 30.0
        path = await models_path(open_gateway, server)
        for _ in range(2):
            answer = await open_gateway.call("editor", "POST", f"{path}/pull", {"model": "big"})
            assert answer.json()["state"] == "pulling"
        assert len((await open_gateway.call("editor", "GET", f"{path}/pull")).json()["items"]) == 1
        assert (await open_gateway.call("editor", "DELETE", f"{path}/big")).status_code == 204
        assert (await ended(open_gateway, path))["state"] == "stopped"


async def test_too_many_pulls_are_refused_with_a_time_to_retry(open_gateway: Gateway) -> None:
    async with FaultyServer() as server:
        server.ollama.pull_gap = 30.0
        path = await models_path(open_gateway, server)
        for number in range(4):
            await open_gateway.call("editor", "POST", f"{path}/pull", {"model": f"m{number}"})
        answer = await open_gateway.call("editor", "POST", f"{path}/pull", {"model": "m4"})
        assert answer.headers["retry-after"] == "60"
        problem(answer, 429, "busy")


async def test_a_running_pull_ends_with_the_application(files: Files) -> None:
    services: list[Services] = []
    async with FaultyServer() as server:
        server.ollama.pull_gap = 30.0
        async with gateway_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as gateway:
            path = await models_path(gateway, server)
            await gateway.call("editor", "POST", f"{path}/pull", {"model": "big"})
            services.append(gateway.services)
        ((pull,),) = [services[0].model_pulls.of(path.split("/")[2])]
        assert pull.state == "stopped"


async def test_a_failed_pull_has_the_reason_in_the_server_s_own_words(
    open_gateway: Gateway,
) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_gateway, server)
        await open_gateway.call("editor", "POST", f"{path}/pull", {"model": "missing"})
        failed = await ended(open_gateway, path)
    assert failed["state"] == "failed"
    assert failed["error"] == "pull model manifest: file does not exist"


async def test_a_model_is_deleted_by_its_whole_name(open_gateway: Gateway) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_gateway, server)
        server.ollama.models.append("hf.co/user/model:Q4")
        gone = await open_gateway.call("editor", "DELETE", f"{path}/hf.co/user/model:Q4")
        assert gone.status_code == 204
        assert server.ollama.models == ["faulty:latest"]
        again = await open_gateway.call("editor", "DELETE", f"{path}/hf.co/user/model:Q4")
        assert "hf.co/user/model:Q4" in problem(again, 404)["detail"]


async def test_a_server_that_is_down_deletes_nothing(gateway: Gateway, unused_url: str) -> None:
    made = await gateway.connection("admin", base_url=unused_url, provider="ollama")
    answer = await gateway.call("admin", "DELETE", f"/connections/{made['id']}/models/m")
    assert "is the server running" in problem(answer, 502, "model-server-failed")["detail"]


async def test_a_server_that_pulls_no_models_is_a_problem(gateway: Gateway) -> None:
    made = await gateway.connection(provider="offline", base_url="")
    path = f"/connections/{made['id']}/models/pull"
    answer = await gateway.call("editor", "POST", path, {"model": "m"})
    assert "an Ollama does" in problem(answer, 422)["detail"]


@pytest.mark.parametrize("model", ["", "two words", "a\nb", "x" * 301])
async def test_an_invalid_model_name_is_refused(gateway: Gateway, model: str) -> None:
    made = await gateway.connection(provider="ollama")
    path = f"/connections/{made['id']}/models/pull"
    problem(await gateway.call("editor", "POST", path, {"model": model}), 422)


async def test_a_private_registry_is_for_admins(open_gateway: Gateway) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_gateway, server)
        wanted = {"model": "10.0.0.7:5000/library/model"}
        refused = await open_gateway.call("editor", "POST", f"{path}/pull", wanted)
        assert "an administrator can pull" in problem(refused, 403)["detail"]
        assert (await open_gateway.call("admin", "POST", f"{path}/pull", wanted)).status_code == 202
        assert (await open_gateway.store.get(SYSTEM, path.split("/")[2])).provider == "ollama"
