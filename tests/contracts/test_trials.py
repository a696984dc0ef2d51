"""Trials of assistants over HTTP: what is not published answers, and nothing is stored."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from pydantic import SecretStr

from agent.api import build_app
from llm_router.connections.access import SYSTEM, Role
from llm_router.connections.record import Connection
from llm_router.discovery.discover import DiscoveryResult
from llm_router.gateway.deps import Services
from llm_router.gateway.scopes import spends
from llm_router.store.api_keys import KeyLimits
from llm_router.store.connections import SqlConnectionStore
from llm_router.testing.server import Behaviour, FaultyServer, Script
from llm_router.types import ToolCall
from llm_router.voice.assistant import parse_assistant
from llm_router.voice.calls import CallFilters
from tests.contracts.databases import Files, opened
from tests.contracts.gateway import problem
from tests.contracts.stores import MASTER_KEY, VAULT
from tests.contracts.test_api import HOST, settings_for
from tests.contracts.texting import Event, events_of

QUESTION = {"role": "user", "text": "When do you open?"}


@dataclass
class Desk:
    """The HTTP process's application over a model server."""

    services: Services
    client: httpx2.AsyncClient
    model: FaultyServer

    async def key(
        self, role: Role, *, may_serve_calls: bool = False, limits: KeyLimits | None = None
    ) -> str:
        _, key = await self.services.keys.add(
            SYSTEM, role, role, owner=role, may_serve_calls=may_serve_calls, limits=limits
        )
        return key

    async def ask(
        self, key: str, draft: Mapping[str, Any], said: Sequence[Mapping[str, Any]] = ()
    ) -> httpx2.Response:
        return await self.client.post(
            "/api/assistants/shop/try",
            json={"draft": dict(draft), "said": [*said]},
            headers={"Authorization": f"Bearer {key}"},
        )

    async def events(
        self, key: str, draft: Mapping[str, Any], said: Sequence[Mapping[str, Any]] = ()
    ) -> list[Event]:
        answer = await self.ask(key, draft, said)
        assert answer.status_code == 200, answer.text
        return events_of(answer.text)


@asynccontextmanager
async def at_a_desk(
    files: Files, folder: Path, script: Behaviour, **changed: Any
) -> AsyncIterator[Desk]:
    url = await files.new()
    settings = settings_for(
        "ws://127.0.0.1:9",
        database_url=SecretStr(url),
        encryption_keys=SecretStr(MASTER_KEY),
        assistants_file=folder / "assistants.toml",
        **changed,
    )
    async with opened(url) as database, FaultyServer(script) as model:
        store = SqlConnectionStore(database, VAULT)
        await store.add(SYSTEM, [Connection(name="desk", base_url=model.base_url, model_name="m")])
        app = build_app(settings, DiscoveryResult((), {}), store)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url=HOST, timeout=30) as client,
        ):
            yield Desk(app.state.services, client, model)


async def test_what_is_not_published_answers_and_nothing_is_stored(
    files: Files, tmp_path: Path
) -> None:
    async with at_a_desk(files, tmp_path, Script()) as desk:
        editor = await desk.key("editor", may_serve_calls=True)
        shop = parse_assistant({"name": "shop", "instructions": "Published."})
        await desk.services.assistants.add(SYSTEM, shop)
        admin = await desk.key("admin")
        draft = {"instructions": "A draft.", "greeting": "The shop, hello!"}
        [greeting, end] = await desk.events(admin, draft)
        assert (greeting.data["text"], end.name) == ("The shop, hello!", "end")
        events = await desk.events(
            admin, draft, [{"role": "assistant", "text": greeting.data["text"]}, QUESTION]
        )
        said = "".join(event.data["text"] for event in events if event.name == "text")
        [item] = [event.data for event in events if event.name == "item"]
        assert said == item["text"] == "".join(Script().words)
        assert item["receipt"]["connection"] == "desk"
        asked = [message["content"] for message in desk.model.requests[-1].messages]
        assert asked == ["A draft.", "The shop, hello!", "When do you open?"]
        stored = await desk.services.assistants.get(SYSTEM, "shop")
        assert (stored.record.instructions, stored.version) == ("Published.", 1)
        assert (await desk.services.calls.find(CallFilters(), limit=1))[1] == 0
        # The stored one is private, so that to an editor who does not own it there is none.
        await desk.events(editor, {}, [QUESTION])
        assert desk.model.requests[-1].messages[0]["content"] != "Published."


async def test_tools_run_and_their_answers_are_part_of_the_conversation(
    files: Files, tmp_path: Path
) -> None:
    def script(number: int) -> Script:
        last = desk.model.requests[number].messages[-1]
        calls = [ToolCall("call_1", "get_time", "{}")]
        return (
            Script(words=["It is noon."])
            if last["role"] == "tool"
            else Script(words=[], tool_calls=calls)
        )

    async with at_a_desk(files, tmp_path, script) as desk:
        admin = await desk.key("admin")
        events = await desk.events(admin, {"tools": ["time", "message"]}, [QUESTION])
        tool, words = (event.data for event in events if event.name == "item")
        assert [call["name"] for call in tool["tool_calls"]] == ["get_time"]
        assert words["text"] == "It is noon."
        offered = [one["function"]["name"] for one in desk.model.requests[0].body["tools"]]
        assert offered == ["get_time"]  # a message that nobody left is not stored


async def test_those_who_may_not_change_assistants_may_not_try_any(
    files: Files, tmp_path: Path
) -> None:
    async with at_a_desk(files, tmp_path, Script()) as desk:
        roles: Sequence[Role] = ("viewer", "operator", "editor")
        for role in roles:
            problem(await desk.ask(await desk.key(role), {}, [QUESTION]), 403)
        problem(await desk.ask(await desk.key("admin"), {"speed": 9.0}, [QUESTION]), 422)
        assert desk.model.requests == []
    assert spends("POST", "/api/assistants/shop/try")
    assert spends("POST", "/api/assistants/shop/call")
    assert spends("POST", "/api/chats/call")
    assert spends("POST", "/api/assistants/shop/call\n")


async def test_a_key_that_is_limited_to_pools_tries_no_assistant(
    files: Files, tmp_path: Path
) -> None:
    """An assistant may ask connections of every pool, in a call as in writing."""
    async with at_a_desk(files, tmp_path, Script()) as desk:
        limits = KeyLimits(pools=("elsewhere",))
        for role in ("editor", "admin"):
            key = await desk.key(role, may_serve_calls=True, limits=limits)
            for door in ("try", "call"):
                answer = await desk.client.post(
                    f"/api/assistants/shop/{door}",
                    json={"draft": {"pool": "desk"}},
                    headers={"Authorization": f"Bearer {key}"},
                )
                assert "limited to some pools" in problem(answer, 403)["detail"]
        assert desk.model.requests == []


async def test_a_reader_learns_which_file_is_missing(files: Files, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.md"
    async with at_a_desk(files, tmp_path, Script(), assistant_prompt_file=prompt) as desk:
        key = await desk.key("admin")
        for _ in range(2):
            [event] = await desk.events(key, {}, [QUESTION])
            assert event.name == "error"
            assert f"ASSISTANT_PROMPT_FILE: there is no {prompt}" in event.data["detail"]
        await asyncio.to_thread(prompt.write_bytes, b"\xff\xfe")
        [event] = await desk.events(key, {}, [QUESTION])
        assert "ASSISTANT_PROMPT_FILE" in event.data["detail"]
        await asyncio.to_thread(prompt.write_text, "Be brief.")
        assert (await desk.events(key, {}, [QUESTION]))[-1].name == "end"


async def test_calls_that_try_something_need_the_same_rights_and_a_connection_for_calls(
    files: Files, tmp_path: Path
) -> None:
    async with at_a_desk(files, tmp_path, Script()) as desk:
        unflagged = Connection(
            name="programs", base_url=desk.model.base_url, model_name="p", use_in_livekit=False
        )
        await desk.services.store.add(SYSTEM, [unflagged])

        async def call(key: str, path: str, body: Mapping[str, Any]) -> httpx2.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return await desk.client.post(f"/api{path}", json=dict(body), headers=headers)

        draft = {"draft": {"instructions": "A draft."}}
        viewer, operator, admin = [await desk.key(role) for role in ("viewer", "operator", "admin")]
        for key in (viewer, operator):
            problem(await call(key, "/assistants/shop/call", draft), 403)
        problem(await call(viewer, "/chats/call", {}), 403)
        problem(await call(admin, "/assistants/shop/call", {"draft": {"speed": 9.0}}), 422)
        found = problem(await call(admin, "/chats/call", {"model": "programs"}), 404)
        assert "desk" in found["detail"]
        other = await desk.key("admin", limits=KeyLimits(pools=("elsewhere",)))
        problem(await call(other, "/chats/call", {"model": "auto"}), 404)
        long = {"system_prompt": "a" * 60_000}
        found = problem(await call(admin, "/chats/call", long), 422)
        assert "shorten the system prompt" in found["detail"]
        unreadable = {"system_prompt": "a\x00"}
        assert (
            "instructions" in problem(await call(admin, "/chats/call", unreadable), 422)["detail"]
        )
        # All else is right, and LiveKit is away.
        for path, body in (
            ("/assistants/shop/call", draft),
            ("/chats/call", {"model": "desk"}),
            ("/chats/call", {"history": [{"role": "user", "content": "Hi?"}]}),
        ):
            problem(await call(admin, path, body), 503)
