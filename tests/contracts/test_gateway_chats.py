"""Tests stored chats over HTTP, on real sockets: streams that break and go on, files, refusals."""

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from llm_router.gateway.completions.places import ReplyPlaces
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.databases import Files
from tests.contracts.gateway import STRANGER, Gateway, problem
from tests.contracts.threads import api_on_a_socket

LOCAL = ("127.0.0.0/8",)
LONG = Script(words=[f"{number} " for number in range(60)], gap=0.01)
WORDS = "".join(Script().words)


@dataclass
class Desk:
    """The API on a socket, a model server behind it, and clients of it."""

    url: str
    gateway: Gateway
    server: FaultyServer
    client: httpx2.AsyncClient

    async def call(
        self, method: str, path: str, body: Any = None, who: str = "editor", **more: Any
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.gateway.keys[who]}", **more.pop("headers", {})}
        url = f"{self.url}/api/chats{path}"
        return await self.client.request(method, url, json=body, headers=headers, **more)

    async def new(self, **fields: Any) -> str:
        answer = await self.call("POST", "", fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def say(self, chat: str, content: str, **fields: Any) -> dict[str, Any]:
        """Sends a message and returns it with its whole reply."""
        body = {"content": content, "stream": False, **fields}
        answer = await self.call("POST", f"/{chat}/messages", body)
        assert answer.status_code == 201, answer.text
        turn: dict[str, Any] = answer.json()
        return turn

    async def path(self, chat: str) -> list[dict[str, Any]]:
        path: list[dict[str, Any]] = (await self.call("GET", f"/{chat}")).json()["path"]
        return path

    @asynccontextmanager
    async def events(
        self, method: str, path: str, body: Any = None, last: str | None = None
    ) -> AsyncIterator[AsyncIterator[tuple[str, str, Any]]]:
        """Yields id, name and data of each event."""
        headers = {"Authorization": f"Bearer {self.gateway.keys['editor']}"}
        if last is not None:
            headers["Last-Event-ID"] = last
        url = f"{self.url}/api/chats{path}"
        async with self.client.stream(method, url, json=body, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            yield _events(answer)


async def _events(answer: httpx2.Response) -> AsyncIterator[tuple[str, str, Any]]:
    lines: list[str] = []
    async for line in answer.aiter_lines():
        if line:
            lines.append(line)
            continue
        fields = dict(one.split(": ", 1) for one in lines)
        lines = []
        yield fields["id"], fields["event"], json.loads(fields["data"])


@asynccontextmanager
async def at_a_desk(files: Files, script: Script, **options: Any) -> AsyncIterator[Desk]:
    async with (
        FaultyServer(script) as server,
        api_on_a_socket(await files.new(), allowed_addresses=LOCAL, **options) as api,
        httpx2.AsyncClient(timeout=60) as client,
    ):
        await api.gateway.connection(base_url=server.base_url)
        yield Desk(api.url, api.gateway, server, client)


@pytest.fixture
async def desk(files: Files) -> AsyncIterator[Desk]:
    async with at_a_desk(files, Script()) as desk:
        yield desk


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_message_is_answered_with_the_history_and_the_parameters_of_its_chat(
    desk: Desk,
) -> None:
    chat = await desk.new(system_prompt="Be brief.", parameters={"temperature": 0.5, "seed": 7})
    turn = await desk.say(chat, "  When do you open?\n")
    assert turn["message"]["content"] == "  When do you open?\n"
    assert (turn["reply"]["content"], turn["reply"]["status"]) == (WORDS, "whole")
    assert turn["reply"]["route"]["connection"] == "desk"
    await desk.say(chat, "And on Sunday?")
    asked = desk.server.requests[-1]
    assert [m["content"] for m in asked.messages] == [
        "Be brief.", "  When do you open?\n", WORDS, "And on Sunday?",
    ]  # fmt: skip
    assert (asked.body["temperature"], asked.body["seed"]) == (0.5, 7)
    shown = (await desk.call("GET", f"/{chat}")).json()
    assert (shown["title"], shown["messages"], shown["current"]) == ("When do you open?", 4, 4)


async def test_a_reply_says_whom_it_asked_and_why_and_what_it_cost(files: Files) -> None:
    failing = Script(fault=Fault.STATUS, status=500)
    async with at_a_desk(files, Script()) as desk, FaultyServer(failing) as attic:
        own: dict[str, Any] = {"name": "attic", "priority": -1, "price_in": 1.0, "price_out": 2.0}
        await desk.gateway.connection(base_url=attic.base_url, **own)
        turn = await desk.say(await desk.new(), "When do you open?")
    route = turn["reply"]["route"]
    shown = [(one["connection"], one["role"], one["delivered"]) for one in route["tries"]]
    assert shown == [("attic", "first", False), ("desk", "failover", True)]
    assert route["tries"][0]["outcome"] == "overloaded"
    assert (route["attempts"], route["cost"]) == (2, 0.0)
    assert route["tokens_out"] > 0


async def test_the_question_of_a_history_is_answered(desk: Desk) -> None:
    past = [
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "When do you open?"},
    ]
    chat = await desk.new(history=past)
    assert [message["content"] for message in await desk.path(chat)] == [
        "Hello!", "When do you open?",
    ]  # fmt: skip
    answer = await desk.call("POST", f"/{chat}/messages/2/regenerate", {"stream": False})
    assert answer.json()["reply"]["content"] == WORDS
    asked = desk.server.requests[-1].messages
    assert [message["content"] for message in asked] == ["Hello!", "When do you open?"]


async def test_a_change_of_a_chat_holds_from_the_next_reply_on(desk: Desk) -> None:
    chat = await desk.new()
    await desk.say(chat, "Hi?")
    changes = {"title": "Renamed", "model": "desk", "parameters": {"max_tokens": 9}}
    changed = (await desk.call("PATCH", f"/{chat}", changes)).json()
    assert (changed["title"], changed["model"]) == ("Renamed", "desk")
    await desk.say(chat, "Hi again?")
    assert desk.server.requests[-1].body["max_tokens"] == 9
    await desk.call("PATCH", f"/{chat}", {"model": "gone"})
    answer = await desk.call("POST", f"/{chat}/messages", {"content": "x"})
    assert "no model 'gone'" in problem(answer, 404, "not-found")["detail"]
    assert len(await desk.path(chat)) == 4


async def test_a_reply_is_written_again_and_a_message_is_edited(desk: Desk) -> None:
    chat = await desk.new()
    await desk.say(chat, "one")
    again = await desk.call("POST", f"/{chat}/messages/2/regenerate", {"stream": False})
    assert again.json()["reply"]["number"] == 3
    assert again.json()["message"]["number"] == 1
    edited = await desk.say(chat, "one, edited", after=0)
    assert edited["message"]["parent"] == 0
    assert [m["content"] for m in desk.server.requests[-1].messages] == ["one, edited"]
    assert [(m["number"], m["siblings"]) for m in await desk.path(chat)] == [(4, [1, 4]), (5, [5])]
    siblings = (await desk.call("GET", f"/{chat}/messages/2/siblings")).json()["items"]
    assert [m["number"] for m in siblings] == [2, 3]
    chosen = (await desk.call("POST", f"/{chat}/messages/2/choose")).json()
    assert [m["number"] for m in chosen["path"]] == [1, 2]
    branch = await desk.say(chat, "two", after=2)
    assert branch["message"]["parent"] == 2


# ── Streams ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_stream_begins_with_the_stored_message_and_ends_with_the_stored_reply(
    desk: Desk,
) -> None:
    chat = await desk.new()
    async with desk.events("POST", f"/{chat}/messages", {"content": "Hi?"}) as events:
        first = await anext(events)
        assert first == ("0", "question", {"message": 1, "parent": 0, "reply": 2, "title": "Hi?"})
        assert (await desk.path(chat))[0]["content"] == "Hi?"
        rest = [event async for event in events]
    texts = [data["text"] for _, name, data in rest if name == "text"]
    assert "".join(texts) == WORDS
    assert rest[-2][0] == str(len(WORDS))
    event_id, name, end = rest[-1]
    assert (event_id, name, end["status"]) == ("end", "end", "whole")
    assert (await desk.path(chat))[1]["content"] == WORDS
    gone = await desk.call("GET", f"/{chat}/messages/2/stream", headers={"Last-Event-ID": "end"})
    assert gone.status_code == 204


@pytest.mark.parametrize("breaks", [(1, 2, 20), ()])
async def test_a_stream_that_breaks_is_resumed_without_a_word_twice(
    files: Files, breaks: Sequence[int]
) -> None:
    async with at_a_desk(files, LONG) as desk:
        chat = await desk.new()
        text, last = "", "0"
        async with desk.events("POST", f"/{chat}/messages", {"content": "Count!"}) as events:
            last, name, _ = await anext(events)
            assert name == "question"
        for pieces in (*breaks, 99):
            async with desk.events("GET", f"/{chat}/messages/2/stream", last=last) as events:
                left = pieces
                async for event_id, name, data in events:
                    last, left = event_id, left - 1
                    if name == "end":
                        assert data["status"] == "whole"
                        break
                    text += data["text"]
                    if not left:
                        break
        assert text == "".join(LONG.words) == (await desk.path(chat))[1]["content"]


async def test_a_stopped_reply_ends_its_stream(files: Files) -> None:
    async with at_a_desk(files, Script(fault=Fault.STALL_AFTER)) as desk:
        chat = await desk.new()
        async with desk.events("POST", f"/{chat}/messages", {"content": "Hi?"}) as events:
            names = [name async for _, name, _ in _until_text(events)]
            stopped = (await desk.call("POST", f"/{chat}/messages/2/stop")).json()
            rest = [event async for event in events]
        assert names == ["question", "text"]
        assert rest[-1][2]["problem"] == stopped["problem"] == "stopped"
        assert (await desk.path(chat))[1]["content"].startswith("Hello")
        problem(await desk.call("POST", f"/{chat}/messages/2/stop"), 409, "conflict")


async def test_a_reply_is_stopped_when_its_key_has_no_tokens_left(files: Files) -> None:
    async with at_a_desk(files, Script(fault=Fault.STALL_AFTER)) as desk:
        chat = await desk.new()
        keys = f"{desk.url}/api/keys"
        admin = {"Authorization": f"Bearer {desk.gateway.keys['admin']}"}
        listed = (await desk.client.get(keys, headers=admin)).json()["items"]
        [id_] = [key["id"] for key in listed if key["name"] == "editor"]
        message = {"content": "Hi?"}
        async with desk.events("POST", f"/{chat}/messages", message) as events:
            assert [name async for _, name, _ in _until_text(events)][-1] == "text"
            spent = {"monthly_tokens": 0}
            await desk.client.patch(f"{keys}/{id_}", json=spent, headers=admin)
            refused = await desk.call("POST", f"/{chat}/messages", message)
            problem(refused, 429, "budget-reached")
            stopped = await desk.call("POST", f"/{chat}/messages/2/stop")
        assert stopped.json()["problem"] == "stopped"


async def _until_text(
    events: AsyncIterator[tuple[str, str, Any]],
) -> AsyncIterator[tuple[str, str, Any]]:
    async for event in events:
        yield event
        if event[1] == "text":
            return


async def test_a_message_while_a_reply_is_written_is_refused(files: Files) -> None:
    async with at_a_desk(files, Script(fault=Fault.STALL_AFTER)) as desk:
        chat = await desk.new()
        async with desk.events("POST", f"/{chat}/messages", {"content": "Hi?"}):
            answer = await desk.call("POST", f"/{chat}/messages", {"content": "More"})
            assert "stop it" in problem(answer, 409, "conflict")["detail"]
            await desk.call("DELETE", f"/{chat}")
        problem(await desk.call("GET", f"/{chat}"), 404, "not-found")


async def test_servers_that_fail_are_a_reply_that_says_why_and_can_be_written_again(
    files: Files,
) -> None:
    async with at_a_desk(files, Script(fault=Fault.STATUS, status=401)) as desk:
        chat = await desk.new()
        turn = await desk.say(chat, "Hi?")
        assert (turn["reply"]["status"], turn["reply"]["content"]) == ("broken_off", "")
        assert "desk: rejected key" in turn["reply"]["problem"]
        await desk.server.behave(Script())
        again = await desk.call("POST", f"/{chat}/messages/2/regenerate", {"stream": False})
        assert again.json()["reply"]["content"] == WORDS


async def test_a_reply_without_a_place_stores_no_message(files: Files) -> None:
    async with at_a_desk(files, Script(), reply_places=ReplyPlaces(most=0)) as desk:
        chat = await desk.new()
        problem(await desk.call("POST", f"/{chat}/messages", {"content": "Hi?"}), 429, "busy")
        assert await desk.path(chat) == []


# ── Everything else ──────────────────────────────────────────────────────────────────────────────


async def test_a_chat_is_found_exported_and_deleted(desk: Desk) -> None:
    chat = await desk.new(system_prompt="Be brief.")
    await desk.say(chat, "When do you open?")
    await desk.say(chat, "Where are you?", after=0)
    found = (await desk.call("GET", "", params={"text": "WHERE ARE"})).json()
    assert found["total"] == 1
    assert (found["items"][0]["found_in"], found["items"][0]["excerpt"]) == (3, "Where are you?")
    exported = await desk.call("GET", f"/{chat}/export")
    assert f"{chat}.json" in exported.headers["content-disposition"]
    assert [m["number"] for m in exported.json()["tree"]] == [1, 2, 3, 4]
    markdown = await desk.call("GET", f"/{chat}/export", params={"format": "markdown"})
    assert markdown.text == (
        "# When do you open?\n\n## System\n\nBe brief.\n\n## User\n\nWhere are you?\n\n"
        f"## Assistant (m)\n\n{WORDS}\n"
    )
    assert (await desk.call("DELETE", f"/{chat}")).status_code == 204
    problem(await desk.call("GET", f"/{chat}"), 404)
    assert (await desk.call("GET", "")).json()["total"] == 0


@pytest.mark.parametrize("who", [STRANGER, "admin", "operator"])
async def test_no_other_actor_reads_a_chat_not_even_an_admin(desk: Desk, who: str) -> None:
    chat = await desk.new()
    await desk.say(chat, "a secret")
    for method, path, body in (
        ("GET", f"/{chat}", None),
        ("PATCH", f"/{chat}", {"title": "x"}),
        ("DELETE", f"/{chat}", None),
        ("GET", f"/{chat}/export", None),
        ("POST", f"/{chat}/messages", {"content": "x"}),
        ("POST", f"/{chat}/messages/2/regenerate", {}),
        ("POST", f"/{chat}/messages/2/stop", None),
        ("POST", f"/{chat}/messages/2/choose", None),
        ("GET", f"/{chat}/messages/2/stream", None),
        ("GET", f"/{chat}/messages/2/siblings", None),
    ):
        problem(await desk.call(method, path, body, who), 404, "not-found")
    assert (await desk.call("GET", "", None, who, params={"text": "secret"})).json()["total"] == 0


async def test_two_keys_without_an_owner_have_chats_of_their_own(desk: Desk) -> None:
    await desk.gateway.add_actor("other admin", "admin")
    assert (await desk.call("POST", "", {}, "admin")).status_code == 201
    assert (await desk.call("GET", "", None, "admin")).json()["total"] == 1
    assert (await desk.call("GET", "", None, "other admin")).json()["total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"content": ""},
        {"content": "x" * 100_001},
        {"content": "x", "after": -1},
        {"content": "\ud800"},
        {"content": "x", "afterwards": 1},
    ],
)
async def test_a_message_that_is_none_is_refused(desk: Desk, body: dict[str, Any]) -> None:
    chat = await desk.new()
    url = f"{desk.url}/api/chats/{chat}/messages"
    headers = {
        "Authorization": f"Bearer {desk.gateway.keys['editor']}",
        "Content-Type": "application/json",
    }
    answer = await desk.client.post(url, content=json.dumps(body).encode(), headers=headers)
    problem(answer, 422, "invalid-request")
    assert await desk.path(chat) == []


async def test_no_word_of_a_chat_is_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    chat = await desk.new(title="privatissimum", system_prompt="arcanum")
    await desk.say(chat, "confidential")
    await desk.server.behave(Script(fault=Fault.REFUSE))
    await desk.say(chat, "confidential again")
    said = caplog.text.lower()
    assert "desk" in said
    for word in ("privatissimum", "arcanum", "confidential", WORDS.lower()):
        assert word not in said
