"""Tests pulling and deleting models at a connection's server over HTTP."""

from typing import Any

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.gateway.deps import Services
from llm_router.testing.server import FaultyServer
from tests.contracts.databases import Files
from tests.contracts.gateway import House, house_on, problem


@pytest.fixture
async def open_house(files: Files) -> Any:
    """Opens an API in which every actor may have this machine called."""
    async with house_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as house:
        yield house


async def models_path(house: House, server: FaultyServer, **fields: Any) -> str:
    made = await house.connection(
        base_url=server.base_url, provider="ollama", model_name="tiny", **fields
    )
    return f"/connections/{made['id']}/models"


async def ended(house: House, path: str) -> dict[str, Any]:
    """Waits for the end of the latest pull, and returns it."""
    while True:
        answer = await house.call("editor", "GET", f"{path}/pull")
        latest: dict[str, Any] = answer.json()["items"][0]
        if latest["finished_at"]:
            return latest


async def test_a_model_is_pulled_in_the_background_with_its_progress(
    open_house: House,
) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_house, server)
        answer = await open_house.call("editor", "POST", f"{path}/pull", {"model": "qwen3:4b"})
        assert answer.status_code == 202
        assert (answer.json()["model"], answer.json()["state"]) == ("qwen3:4b", "pulling")
        done = await ended(open_house, path)
        listed = (await open_house.call("editor", "GET", path)).json()["models"]
    assert (done["state"], done["status"], done["error"]) == ("done", "success", "")
    assert "qwen3:4b" in listed
    audit = (await open_house.call("admin", "GET", "/audit")).json()["items"]
    assert "pull model" in {entry["action"] for entry in audit}


async def test_the_connection_s_own_model_is_meant_unless_one_is_named(open_house: House) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_house, server)
        await open_house.call("editor", "POST", f"{path}/pull")
        assert (await ended(open_house, path))["model"] == "tiny"


async def test_a_running_pull_is_not_started_again_and_can_be_stopped(
    open_house: House,
) -> None:
    async with FaultyServer() as server:
        server.ollama.pull_gap = 30.0
        path = await models_path(open_house, server)
        for _ in range(2):
            answer = await open_house.call("editor", "POST", f"{path}/pull", {"model": "big"})
            assert answer.json()["state"] == "pulling"
        assert len((await open_house.call("editor", "GET", f"{path}/pull")).json()["items"]) == 1
        assert (await open_house.call("editor", "DELETE", f"{path}/big")).status_code == 204
        assert (await ended(open_house, path))["state"] == "stopped"


async def test_too_many_pulls_are_refused_with_a_time_to_retry(open_house: House) -> None:
    async with FaultyServer() as server:
        server.ollama.pull_gap = 30.0
        path = await models_path(open_house, server)
        for number in range(4):
            await open_house.call("editor", "POST", f"{path}/pull", {"model": f"m{number}"})
        answer = await open_house.call("editor", "POST", f"{path}/pull", {"model": "m4"})
        assert answer.headers["retry-after"] == "60"
        problem(answer, 429, "busy")


async def test_a_running_pull_ends_with_the_application(files: Files) -> None:
    served: list[Services] = []
    async with FaultyServer() as server:
        server.ollama.pull_gap = 30.0
        async with house_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as house:
            path = await models_path(house, server)
            await house.call("editor", "POST", f"{path}/pull", {"model": "big"})
            served.append(house.served)
        ((pull,),) = [served[0].model_pulls.of(path.split("/")[2])]
        assert pull.state == "stopped"


async def test_a_failed_pull_has_the_reason_in_the_server_s_own_words(
    open_house: House,
) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_house, server)
        await open_house.call("editor", "POST", f"{path}/pull", {"model": "missing"})
        failed = await ended(open_house, path)
    assert failed["state"] == "failed"
    assert failed["error"] == "pull model manifest: file does not exist"


async def test_a_model_is_deleted_by_its_whole_name(open_house: House) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_house, server)
        server.ollama.models.append("hf.co/user/model:Q4")
        gone = await open_house.call("editor", "DELETE", f"{path}/hf.co/user/model:Q4")
        assert gone.status_code == 204
        assert server.ollama.models == ["faulty:latest"]
        again = await open_house.call("editor", "DELETE", f"{path}/hf.co/user/model:Q4")
        assert "hf.co/user/model:Q4" in problem(again, 404)["detail"]


async def test_a_server_that_is_down_deletes_nothing(house: House, unused_url: str) -> None:
    made = await house.connection("admin", base_url=unused_url, provider="ollama")
    answer = await house.call("admin", "DELETE", f"/connections/{made['id']}/models/m")
    assert "is the server running" in problem(answer, 502)["detail"]


async def test_a_server_that_pulls_no_models_is_a_problem(house: House) -> None:
    made = await house.connection(provider="offline", base_url="")
    path = f"/connections/{made['id']}/models/pull"
    answer = await house.call("editor", "POST", path, {"model": "m"})
    assert "an Ollama does" in problem(answer, 422)["detail"]


@pytest.mark.parametrize("model", ["", "two words", "a\nb", "x" * 301])
async def test_an_invalid_model_name_is_refused(house: House, model: str) -> None:
    made = await house.connection(provider="ollama")
    path = f"/connections/{made['id']}/models/pull"
    problem(await house.call("editor", "POST", path, {"model": model}), 422)


async def test_a_private_registry_is_for_admins(open_house: House) -> None:
    async with FaultyServer() as server:
        path = await models_path(open_house, server)
        wanted = {"model": "10.0.0.7:5000/library/model"}
        refused = await open_house.call("editor", "POST", f"{path}/pull", wanted)
        assert "an administrator can pull" in problem(refused, 403)["detail"]
        assert (await open_house.call("admin", "POST", f"{path}/pull", wanted)).status_code == 202
        assert (await open_house.store.get(SYSTEM, path.split("/")[2])).provider == "ollama"
