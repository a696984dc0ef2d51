"""Serves conversations in writing to tests: the routes, a database, and a model server."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr

from agent.ratings import ratings_router
from agent.text.conversations import Conversations
from agent.text.resume_token import Conversation, ResumeTokens
from agent.text.routes import TextOptions, text_router
from agent.text.setup import TextSetup
from agent.visitor_gate import Gate
from agent.visitor_sites import VisitorSites
from config.settings import Settings
from llm_router import open_router
from llm_router.clock import Clock, SystemClock
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.gateway.errors import answer_with_problems
from llm_router.gateway.rates import RateLimit
from llm_router.providers.base import Provider
from llm_router.routing.router import Router
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.ratings import Ratings
from llm_router.store.sites import Sites
from llm_router.testing.router import open_scripted_router
from llm_router.testing.server import Behaviour, FaultyServer
from llm_router.voice.page_context import SiteSecrets
from llm_router.voice.site import parse_site

SECRET = "a-secret-of-more-than-thirty-two-characters"
SHOP = "https://shop.example"
HOST = "http://patchbay.test"
SHARED = "lobby"
"""A room in which visitors meet."""
SITE_SECRETS = SiteSecrets([b"a-master-key"])


@dataclass(frozen=True)
class Event:
    """A server-sent event."""

    id: str
    name: str
    data: Mapping[str, Any]


@dataclass
class Visitor:
    """A page with a conversation of its own. `seen` are the events so far."""

    client: httpx2.AsyncClient
    site: str = ""
    origin: str = SHOP
    token: str = ""
    seen: list[Event] = field(default_factory=list)
    count: int = 0

    async def begin(self, **body: Any) -> httpx2.Response:
        answer = await self.ask("POST", "/conversations", json=body)
        self.token = answer.json().get("token", "")
        return answer

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Origin": self.origin, **options.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        site = {"site": self.site} if self.site else {}
        url = f"/api/visitor{path}"
        return await self.client.request(method, url, params=site, headers=headers, **options)

    async def say(
        self, text: str, message_id: str = "", *, after: str = "", **more: Any
    ) -> httpx2.Response:
        """Sends a message; `after` is the id of the last event that this page has read."""
        self.count += 1
        body = {"id": message_id or f"message-{self.count:04}", "text": text, **more}
        headers = {"Last-Event-ID": after}
        answer = await self.ask("POST", "/conversation/messages", json=body, headers=headers)
        self.seen += events_of(answer.text)
        return answer

    async def read(self, after: str = "") -> Sequence[Event]:
        headers = {"Last-Event-ID": after} if after else {}
        return events_of((await self.ask("GET", "/conversation/events", headers=headers)).text)

    async def reply_to(self, text: str) -> str:
        """Sends a message, and returns the last thing that was said to it."""
        answer = await self.say(text)
        items = [event.data for event in events_of(answer.text) if event.name == "item"]
        assert items, answer.text
        return str(items[-1]["text"])


def events_of(text: str) -> list[Event]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            data = json.loads(fields["data"])
            found.append(Event(fields.get("id", ""), fields["event"], data))
    return found


@dataclass
class Texting:
    """One HTTP process that serves conversations in writing."""

    conversations: Conversations
    client: httpx2.AsyncClient
    database: Database
    model: FaultyServer
    tokens: ResumeTokens
    calls: CallStore
    sites: Sites
    waiting: set[str]
    """The rooms whose visitors wait in the queue."""
    given: str = ""

    def talk(self, visitor: Visitor) -> Conversation:
        """Returns the conversation of a visitor's token."""
        talk = self.tokens.read(visitor.token, SystemClock().wall())
        assert talk
        return talk

    def visitor(self, **fields: Any) -> Visitor:
        return Visitor(self.client, **fields)

    async def visiting(self, **fields: Any) -> Visitor:
        """Returns a visitor who has begun a conversation."""
        visitor = self.visitor(**fields)
        answer = await visitor.begin()
        assert answer.status_code == 201, answer.text
        return visitor

    async def site(self, **fields: Any) -> str:
        """Makes a site and returns its key."""
        record = parse_site({"name": "shop", "origins": [SHOP], **fields})
        return (await self.sites.add(SYSTEM, record)).key


@asynccontextmanager
async def texting(
    database: Database,
    folder: Path,
    behaviour: Behaviour | None = None,
    *,
    model: FaultyServer | None = None,
    limits: str = "10000/minute",
    settings: Mapping[str, Any] | None = None,
    provider: Provider | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Texting]:
    """Serves on this database. `settings` differ from the usual; `model` is another's.

    A `provider` answers in the place of the model.
    """
    clock = clock or SystemClock()
    base = Settings(livekit_api_key="key", livekit_api_secret=SecretStr(SECRET))
    url = database.url.render_as_string(hide_password=False)
    own = {"database_url": SecretStr(url), "encryption_key_file": folder / "key"}
    own |= {"assistants_file": folder / "assistants.toml", "allowed_origins": (SHOP,)}
    changed = base.model_copy(update={**own, **(settings or {})})
    server = model or FaultyServer(behaviour)
    async with server if model is None else _open(server):
        desk = Connection(name="desk", base_url=server.base_url, model_name="m")

        def routing(_: object) -> AbstractAsyncContextManager[Router]:
            scripted = {"desk": provider} if provider else {}
            return open_scripted_router(scripted, clock) if scripted else open_router([desk])

        setup = TextSetup(changed, database, clock, {}, open_router=routing)
        sites = VisitorSites(Sites(database, clock).all)
        waiting: set[str] = set()

        async def waits(room: str) -> bool:
            return room in waiting

        conversations = Conversations(setup, database, sites, clock, waits)
        options = TextOptions(
            secret=SECRET,
            begin_limit=RateLimit(limits),
            message_limit=RateLimit(limits),
            read_limit=RateLimit(limits),
            allowed_origins=(SHOP,),
            site_secrets=SITE_SECRETS,
            shared_rooms=(SHARED,),
        )
        app = FastAPI()
        answer_with_problems(app)
        app.include_router(text_router(options, conversations, sites))
        gate = Gate((SHOP,), sites, RateLimit(limits))
        visit_of = ResumeTokens(SECRET).visit_of
        app.include_router(ratings_router(gate, Ratings(database, clock), visit_of))
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            aclosing(conversations),
            httpx2.AsyncClient(transport=transport, base_url=HOST) as client,
        ):
            yield Texting(
                conversations,
                client,
                database,
                server,
                ResumeTokens(SECRET),
                CallStore(database),
                Sites(database, clock),
                waiting,
            )


@asynccontextmanager
async def _open(server: FaultyServer) -> AsyncIterator[FaultyServer]:
    yield server
