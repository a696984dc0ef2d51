"""The routes of the HTTP process as a browser and an operator meet them.

LiveKit's side is a small server on a real socket that speaks its API and checks its tokens.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import jwt
import pytest
from aiohttp import web
from fastapi import FastAPI
from livekit import api
from livekit.protocol.agent_dispatch import (
    AgentDispatch,
    AgentDispatchState,
    ListAgentDispatchResponse,
)
from livekit.protocol.models import Room
from pydantic import SecretStr

from agent.api import build_app
from agent.http_process import listen
from agent.presence import worker_present
from config.settings import Settings
from llm_router.clock import SystemClock
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.discovery.discover import DiscoveryResult
from llm_router.store.connections import open_store
from llm_router.store.sites import Sites
from llm_router.voice.site import parse_site
from tests.contracts.stores import VAULT

KEY, SECRET = "key", "a-secret-of-more-than-thirty-two-characters"
HOST = "http://patchbay.test"
OFFLINE = Connection(name="offline", provider="offline")
VLLM = Connection(name="vllm", model_name="m", api_key="sk-hidden")
SHOP = "https://shop.example"
PREFLIGHT = {
    "origin": SHOP,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type",
}


@dataclass
class FakeLiveKit:
    """Rooms and their metadata, dispatches, and the agents called as rooms were made.

    `described` has what was said to these agents. `closed` are rooms that were.
    `answer` takes the place of everything it would say.
    """

    rooms: dict[str, str] = field(default_factory=dict)
    called: list[tuple[str, str]] = field(default_factory=list)
    described: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    dispatches: list[AgentDispatch] = field(default_factory=list)
    answer: web.Response | None = None
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        if self.answer is not None:
            return self.answer
        try:
            bearer = request.headers["Authorization"].removeprefix("Bearer ")
            grants = api.TokenVerifier(KEY, SECRET).verify(bearer).video
        except jwt.InvalidTokenError:
            return web.Response(status=401, text="invalid token")
        assert grants is not None
        body = await request.read()
        match request.path:
            case "/twirp/livekit.RoomService/ListRooms":
                names = set(api.ListRoomsRequest.FromString(body).names) or set(self.rooms)
                rooms = [Room(name=n, metadata=m) for n, m in self.rooms.items() if n in names]
                return web.Response(body=api.ListRoomsResponse(rooms=rooms).SerializeToString())
            case "/twirp/livekit.RoomService/CreateRoom":
                room = api.CreateRoomRequest.FromString(body)
                self.rooms[room.name] = room.metadata
                self.called += [(agent.agent_name, room.name) for agent in room.agents]
                self.described += [agent.metadata for agent in room.agents]
                return web.Response(body=Room(name=room.name).SerializeToString())
            case "/twirp/livekit.RoomService/UpdateRoomMetadata":
                wish = api.UpdateRoomMetadataRequest.FromString(body)
                self.rooms[wish.room] = wish.metadata
                return web.Response(body=Room(name=wish.room).SerializeToString())
            case "/twirp/livekit.RoomService/DeleteRoom":
                self.closed.append(api.DeleteRoomRequest.FromString(body).room)
                del self.rooms[self.closed[-1]]
                return web.Response(body=api.DeleteRoomResponse().SerializeToString())
            case "/twirp/livekit.RoomService/ListParticipants":
                return web.Response(body=api.ListParticipantsResponse().SerializeToString())
            case "/twirp/livekit.AgentDispatchService/ListDispatch":
                listed = ListAgentDispatchResponse(agent_dispatches=self.dispatches)
                return web.Response(body=listed.SerializeToString())
            case "/twirp/livekit.AgentDispatchService/CreateDispatch":
                wanted = api.CreateAgentDispatchRequest.FromString(body)
                assert (grants.room_admin, grants.room) == (True, wanted.room)
                state = AgentDispatchState(created_at=int(SystemClock().wall() * 1e9))
                made = AgentDispatch(agent_name=wanted.agent_name, room=wanted.room, state=state)
                self.dispatches.append(made)
                return web.Response(body=made.SerializeToString())
        return web.Response(status=404)


@pytest.fixture
async def livekit() -> AsyncIterator[FakeLiveKit]:
    fake = FakeLiveKit()
    app = web.Application()
    app.router.add_post("/{path:.*}", fake.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = listen("127.0.0.1", 0)
    fake.url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    await web.SockSite(runner, listener).start()
    yield fake
    await runner.cleanup()


def settings_for(url: str, secret: str = SECRET, **changes: object) -> Settings:
    base = Settings(livekit_url=url, livekit_api_key=KEY, livekit_api_secret=SecretStr(secret))
    return base.model_copy(update={"page_dir": Path("no-such-page"), **changes})


def found(*connections: Connection) -> DiscoveryResult:
    return DiscoveryResult(connections, {c.name: f"source of {c.name}" for c in connections})


@asynccontextmanager
async def application(settings: Settings, *others: Connection) -> AsyncIterator[FastAPI]:
    with TemporaryDirectory() as folder:
        async with open_store(f"sqlite:///{folder}/store.sqlite3", VAULT) as store:
            app = build_app(settings, found(*(others or [OFFLINE])), store)
            async with app.router.lifespan_context(app):
                yield app


@asynccontextmanager
async def browser(settings: Settings, *others: Connection) -> AsyncIterator[httpx2.AsyncClient]:
    async with application(settings, *others) as app, browser_of(app) as client:
        yield client


def browser_of(app: FastAPI) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url=HOST)


async def store_site(app: FastAPI, **fields: object) -> str:
    """Stores a site whose pages are those of SHOP, and returns its key."""
    sites: Sites = app.state.services.sites
    record = parse_site({"name": "shop", "origins": [SHOP], **fields})
    return (await sites.add(SYSTEM, record)).key


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """The folder of the built pages."""
    for name, text in (("index", "Talk"), ("shop", "Shop"), ("embed", "Embed")):
        (tmp_path / f"{name}.html").write_text(text)
    return tmp_path


def claims(answer: httpx2.Response) -> api.access_token.Claims:
    return api.TokenVerifier(KEY, SECRET).verify(answer.json()["participant_token"])


def problem(answer: httpx2.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert SECRET not in answer.text
    return f"{document['title']}. {document['detail']}"


async def test_an_empty_request_gets_a_call_of_its_own(livekit: FakeLiveKit) -> None:
    async with browser(settings_for(livekit.url)) as client:
        first, second = await client.post("/token"), await client.post("/token", json={})
    assert first.status_code == second.status_code == 201
    assert set(first.json()) == {"server_url", "participant_token", "continuation", "modes"}
    assert first.json()["server_url"] == livekit.url
    assert first.headers["cache-control"] == "no-store"
    one, two = claims(first), claims(second)
    assert one.identity != two.identity
    assert one.video is not None
    assert two.video is not None
    assert one.video.room != two.video.room
    assert livekit.called == [("patchbay", one.video.room), ("patchbay", two.video.room)]
    assert livekit.dispatches == []


async def test_browsers_get_the_public_address(livekit: FakeLiveKit) -> None:
    settings = settings_for(livekit.url, livekit_public_url="wss://voice.example.org")
    async with browser(settings) as client:
        answer = await client.post("/token")
    assert answer.json()["server_url"] == "wss://voice.example.org"
    assert "wss://voice.example.org" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "wish",
    [
        {"room_name": "web-lobby", "participant_name": "Ada\n"},
        {"roomName": "web-lobby", "participantName": "Ada\n"},
    ],
)
async def test_a_shared_room_and_a_name_may_be_wished_for(
    livekit: FakeLiveKit, wish: dict[str, str]
) -> None:
    async with browser(settings_for(livekit.url, shared_rooms=("web-lobby",))) as client:
        said = claims(await client.post("/token", json=wish))
    assert said.video is not None
    assert (said.video.room, said.name) == ("web-lobby", "Ada")


async def test_everything_else_a_client_asks_for_is_ignored(livekit: FakeLiveKit) -> None:
    wish = {
        "room_name": "call-of-someone-else",
        "participant_identity": "admin",
        "participant_metadata": "m",
        "participant_attributes": {"role": "admin"},
        "room_config": {"agents": [{"agent_name": "other", "metadata": "m"}]},
        "unknown": 1,
    }
    async with browser(settings_for(livekit.url)) as client:
        said = claims(await client.post("/token", json=wish))
    assert said.video is not None
    assert said.video.room.startswith("web-")
    assert said.identity.startswith("visitor-")
    assert not said.metadata
    assert not said.attributes
    assert said.room_config is None
    assert livekit.called == [("patchbay", said.video.room)]


async def test_a_room_that_exists_without_our_agent_is_sent_one(livekit: FakeLiveKit) -> None:
    livekit.rooms["web-lobby"] = ""
    livekit.dispatches.append(AgentDispatch(agent_name="other", room="web-lobby"))
    async with browser(settings_for(livekit.url, shared_rooms=("web-lobby",))) as client:
        await client.post("/token", json={"room_name": "web-lobby"})
    assert [d.agent_name for d in livekit.dispatches] == ["other", "patchbay"]


async def test_many_visitors_of_one_room_bring_one_agent(livekit: FakeLiveKit) -> None:
    livekit.rooms["web-lobby"] = ""
    async with browser(settings_for(livekit.url, shared_rooms=("web-lobby",))) as client:
        wish = {"room_name": "web-lobby"}
        await asyncio.gather(*(client.post("/token", json=wish) for _ in range(5)))
    assert [d.agent_name for d in livekit.dispatches] == ["patchbay"]


@pytest.mark.parametrize("path", ["/token", "/readyz"])
async def test_a_voice_server_that_is_down_is_said_so(path: str) -> None:
    with listen("127.0.0.1", 0) as free:
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
    async with browser(settings_for(url)) as client:
        answer = await (client.post(path) if path == "/token" else client.get(path))
    assert answer.status_code == 503
    assert "start livekit-server" in problem(answer)
    assert url not in answer.text


@pytest.mark.parametrize("path", ["/token", "/readyz"])
async def test_refused_keys_are_said_so(livekit: FakeLiveKit, path: str) -> None:
    async with browser(settings_for(livekit.url, secret="x" * 32)) as client:
        answer = await (client.post(path) if path == "/token" else client.get(path))
    assert answer.status_code == 502
    assert "LIVEKIT_API_SECRET" in problem(answer)


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (404, "<html>not here</html>", "is not LiveKit"),
        (200, "<html>hello</html>", "is not LiveKit"),
        (500, "", "LiveKit answered 500"),
    ],
)
async def test_a_server_that_is_not_livekit_or_not_well_is_said_so(
    livekit: FakeLiveKit, status: int, text: str, said: str
) -> None:
    livekit.answer = web.Response(status=status, text=text)
    async with browser(settings_for(livekit.url)) as client:
        answer = await client.post("/token")
    assert answer.status_code in {502, 503}
    assert said in problem(answer)


async def test_one_address_may_ask_only_so_often(livekit: FakeLiveKit) -> None:
    settings = settings_for(livekit.url, token_rate_limit="2/hour")
    async with browser(settings) as client:
        statuses = [(await client.post("/token")).status_code for _ in range(2)]
        refused = await client.post("/token")
    assert statuses == [201, 201]
    assert refused.status_code == 429
    wait = int(refused.headers["retry-after"])
    assert 0 < wait <= 3600
    assert f"again in {wait} s" in problem(refused)


async def test_one_address_does_not_use_up_the_tokens_of_another(livekit: FakeLiveKit) -> None:
    async with application(settings_for(livekit.url, token_rate_limit="1/hour")) as app:
        statuses = []
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
            transport = httpx2.ASGITransport(app=app, client=(address, 1))
            async with httpx2.AsyncClient(transport=transport, base_url=HOST) as client:
                statuses.append((await client.post("/token")).status_code)
    assert statuses == [201, 201, 429]


@pytest.mark.parametrize("origin", [None, HOST, "https://patchbay.test", "https://shop.example"])
async def test_our_own_page_and_listed_sites_may_ask(
    livekit: FakeLiveKit, origin: str | None
) -> None:
    settings = settings_for(livekit.url, allowed_origins=("https://shop.example",))
    async with browser(settings) as client:
        answer = await client.post("/token", headers={"origin": origin} if origin else {})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://patchbay.test.evil.example", "http://["]
)
async def test_other_sites_may_not_ask(livekit: FakeLiveKit, origin: str) -> None:
    async with browser(settings_for(livekit.url)) as client:
        answer = await client.post("/token", headers={"origin": origin})
    assert answer.status_code == 403
    assert "ALLOWED_ORIGINS" in problem(answer)
    assert "access-control-allow-origin" not in answer.headers


async def test_a_listed_site_passes_the_preflight_and_may_read_refusals(
    livekit: FakeLiveKit,
) -> None:
    site = "https://shop.example"
    settings = settings_for(livekit.url, allowed_origins=(site,), token_rate_limit="1/hour")
    asks = {
        "origin": site,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    async with browser(settings) as client:
        preflight = await client.options("/token", headers=asks)
        stranger = await client.options("/token", headers={**asks, "origin": "https://e.example"})
        await client.post("/token", headers={"origin": site})
        refused = await client.post("/token", headers={"origin": site})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == site
    assert "access-control-allow-origin" not in stranger.headers
    assert refused.status_code == 429
    assert refused.headers["access-control-allow-origin"] == site
    readable = refused.headers["access-control-expose-headers"].split(", ")
    assert {"Retry-After", "x-patchbay-connection"} <= {*readable}


@pytest.mark.parametrize("listed", ["https://chat.example", "*"])
async def test_a_page_elsewhere_asks_the_api_with_a_key_but_gets_no_token(
    livekit: FakeLiveKit, listed: str
) -> None:
    site = {"origin": "https://chat.example"}
    fixed = "a-fixed-key-of-some-length"
    settings = settings_for(livekit.url, cors_origins=(listed,), proxy_api_key=SecretStr(fixed))
    asks = {"access-control-request-method": "DELETE",
            "access-control-request-headers": "authorization, x-stainless-lang"}  # fmt: skip
    async with browser(settings) as client:
        preflight = await client.options("/v1/models", headers={**site, **asks})
        bearer = {"authorization": f"Bearer {fixed}"}
        answer = await client.get("/v1/models", headers={**site, **bearer})
        token = await client.post("/token", headers=site)
    assert preflight.status_code == 200
    assert "x-stainless-lang" in preflight.headers["access-control-allow-headers"]
    assert "DELETE" in preflight.headers["access-control-allow-methods"]
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == listed
    assert "access-control-allow-credentials" not in answer.headers
    assert "x-patchbay-first-word-ms" in answer.headers["access-control-expose-headers"]
    assert token.status_code == 403


async def test_the_rate_a_minute_counts_the_requests_of_a_key(livekit: FakeLiveKit) -> None:
    fixed = "a-fixed-key-of-some-length"
    settings = settings_for(livekit.url, proxy_api_key=SecretStr(fixed), rate_limit_per_minute=2)
    async with browser(settings) as client:
        forms = [{"x-api-key": fixed}, {"authorization": f"Bearer {fixed}"}] * 2
        statuses = [(await client.get("/api/me", headers=h)).status_code for h in forms]
    assert statuses == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 422), (b"[1]", 422), (b'{"room_name": 7}', 422), (b" " * 9000, 413)],
)
async def test_a_body_that_makes_no_sense_is_a_problem(
    livekit: FakeLiveKit, body: bytes, status: int
) -> None:
    async with browser(settings_for(livekit.url)) as client:
        answer = await client.post(
            "/token", content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code == status
    assert problem(answer)


async def test_a_body_without_a_declared_size_is_limited_too(livekit: FakeLiveKit) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1000

    async with browser(settings_for(livekit.url)) as client:
        answer = await client.post(
            "/token", content=endless(), headers={"content-type": "application/json"}
        )
    assert answer.status_code == 413
    assert "at most" in problem(answer)


async def test_what_a_caller_wrote_is_not_repeated_in_an_error(livekit: FakeLiveKit) -> None:
    async with browser(settings_for(livekit.url)) as client:
        answer = await client.post("/token", json={"participant_name": ["my secret wish"]})
    assert "participant_name: Input should be" in problem(answer)
    assert "my secret wish" not in answer.text


async def test_an_unknown_path_is_a_problem_too(livekit: FakeLiveKit) -> None:
    async with browser(settings_for(livekit.url)) as client:
        assert "Not Found" in problem(await client.get("/nowhere"))
        assert (await client.get("/token")).status_code == 405


async def test_health_says_alive_and_readiness_says_that_calls_can_be_made(
    livekit: FakeLiveKit,
) -> None:
    async with application(settings_for(livekit.url)) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url=HOST) as client:
            assert (await client.get("/healthz")).json() == {"status": "ok"}
            alone = await client.get("/readyz")
            assert alone.status_code == 503
            assert "No worker can take a call" in problem(alone)
            database = app.state.services.database
            async with worker_present(database, "patchbay", SystemClock(), lambda: True):
                assert (await client.get("/readyz")).json() == {"status": "ready"}
            assert (await client.get("/readyz")).status_code == 503


async def test_the_page_is_shown_the_connections_that_answer(livekit: FakeLiveKit) -> None:
    unused = Connection(name="unused", use_in_livekit=False)
    async with browser(settings_for(livekit.url, show_connections=True), VLLM, unused) as client:
        connected = (await client.get("/api/demo")).json()
    async with browser(settings_for(livekit.url)) as client:
        alone = (await client.get("/api/demo")).json()
    assert connected == {
        "agent_name": "patchbay",
        "language": "en",
        "connections": [
            {
                "name": "vllm",
                "model": "m",
                "provider": "openai_compatible",
                "source": "source of vllm",
            },
        ],
        "offline": False,
        "responder": False,
        "warnings": [],
        "stored_now": 0,
        "unused": [],
    }
    assert alone["offline"] is True


async def test_the_page_is_served_where_it_was_built(livekit: FakeLiveKit, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>Talk</h1>")
    (tmp_path / "app.js").write_text("1")
    async with browser(settings_for(livekit.url, page_dir=tmp_path)) as client:
        page, script = await client.get("/"), await client.get("/app.js")
        outside = await client.get("/../api.py")
    assert (page.status_code, page.text) == (200, "<h1>Talk</h1>")
    assert script.headers["content-type"].startswith("text/javascript")
    assert outside.status_code == 404


async def test_the_demo_shows_a_shop_and_beside_it_the_conversation(
    livekit: FakeLiveKit, pages: Path
) -> None:
    demo = settings_for(livekit.url, page_dir=pages, demo=True, public_hosts=("patchbay.test",))
    async with browser(demo) as client:
        shop, talk = await client.get("/"), await client.get("/talk")
    async with browser(settings_for(livekit.url, page_dir=pages)) as client:
        alone, same = await client.get("/"), await client.get("/talk")
    assert (shop.text, talk.text, alone.text, same.text) == ("Shop", "Talk", "Talk", "Talk")


@pytest.mark.parametrize("path", ["/shop.html", "/./shop.html", "/a/../shop.html", "/Shop.HTML"])
async def test_the_shop_is_there_in_the_demo_alone(
    livekit: FakeLiveKit, pages: Path, path: str
) -> None:
    (pages / "Shop.HTML").write_text("Shop")  # as a file system finds it that ignores case
    demo = settings_for(livekit.url, page_dir=pages, demo=True, public_hosts=("patchbay.test",))
    async with browser(demo) as client:
        assert (await client.get(path)).text == "Shop"
    async with browser(settings_for(livekit.url, page_dir=pages)) as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/", "/talk"])
@pytest.mark.parametrize("is_demo", [True, False])
async def test_the_pages_answer_head(
    livekit: FakeLiveKit, pages: Path, path: str, *, is_demo: bool
) -> None:
    hosts = ("patchbay.test",)
    settings = settings_for(livekit.url, page_dir=pages, demo=is_demo, public_hosts=hosts)
    async with browser(settings) as client:
        answer = await client.head(path)
    assert (answer.status_code, answer.text) == (200, "")


async def test_a_site_is_framed_by_its_own_pages_alone(livekit: FakeLiveKit, pages: Path) -> None:
    async with application(settings_for(livekit.url, page_dir=pages)) as app:
        key = await store_site(app)
        async with browser_of(app) as client:
            framed = await client.get(f"/embed/{key}")
            unknown = await client.get("/embed/site_unknown-1")
    policy = framed.headers["content-security-policy"].split("; ")
    assert (framed.status_code, framed.text) == (200, "Embed")
    assert f"frame-ancestors 'self' {SHOP}" in policy
    assert unknown.status_code == 403
    assert "llm-router sites list" in problem(unknown)
    assert "frame-ancestors 'self'" in unknown.headers["content-security-policy"].split("; ")


@pytest.mark.parametrize("path", ["/token", "/site"])
async def test_pages_of_a_site_ask_the_routes_for_visitors(livekit: FakeLiveKit, path: str) -> None:
    async with application(settings_for(livekit.url)) as app:
        key = await store_site(app)
        async with browser_of(app) as client:
            asked = await client.options(path, params={"site": key}, headers=PREFLIGHT)
    assert asked.headers["access-control-allow-origin"] == SHOP


@pytest.mark.parametrize("path", ["/api/connections", "/v1/models", "/api/sites", "/tokens/other"])
async def test_pages_of_a_site_ask_no_other_route(livekit: FakeLiveKit, path: str) -> None:
    async with application(settings_for(livekit.url)) as app:
        key = await store_site(app)
        async with browser_of(app) as client:
            asked = await client.options(path, params={"site": key}, headers=PREFLIGHT)
            answer = await client.get(path, params={"site": key}, headers={"origin": SHOP})
    assert "access-control-allow-origin" not in asked.headers
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_that_was_not_built_says_how_to_build_it(livekit: FakeLiveKit) -> None:
    async with browser(settings_for(livekit.url)) as client:
        answer = await client.get("/")
    assert answer.status_code == 503
    assert "make setup" in answer.text


async def test_the_page_may_connect_to_livekit_and_nowhere_else(livekit: FakeLiveKit) -> None:
    async with browser(settings_for(livekit.url)) as client:
        headers = (await client.get("/healthz")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    http = livekit.url.replace("ws:", "http:")
    assert policy["connect-src"] == f"'self' {livekit.url} {http}"
    assert policy["frame-ancestors"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"


async def test_livekit_cloud_may_send_callers_to_its_regions() -> None:
    settings = settings_for("wss://me.livekit.cloud", allowed_origins=("https://shop.example",))
    async with browser(settings) as client:
        policy = (await client.get("/healthz")).headers["content-security-policy"]
    assert "wss://*.livekit.cloud https://*.livekit.cloud" in policy
    assert "frame-ancestors 'self' https://shop.example" in policy
