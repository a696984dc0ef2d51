"""Runs the HTTP process's application with the console, and opens the console in Chromium."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import BrowserContext, Page, Route, async_playwright, expect
from pydantic import SecretStr

from agent.api import build_app
from agent.http_process import listen
from deploy import page as pages
from llm_router.connections.access import SYSTEM, Role
from llm_router.discovery.discover import DiscoveryResult
from llm_router.gateway.deps import Services
from llm_router.options import Quota
from llm_router.store.api_keys import ApiKeys, KeyLimits
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.migrations import migrate
from tests.contracts.databases import opened
from tests.contracts.stores import MASTER_KEY, VAULT
from tests.contracts.test_api import settings_for
from tests.voice.test_browser import SOON, chromium

MANY = 20_000
"""Connections that may be stored here."""
expect.set_options(timeout=SOON)


@dataclass
class Console:
    """The application on a real socket, and a browser that is not signed in."""

    url: str
    services: Services
    context: BrowserContext

    async def key(self, role: Role, name: str = "", limits: KeyLimits | None = None) -> str:
        """Makes an API key; that of an editor may serve calls."""
        owner = "" if role == "admin" else (name or role)
        keys = ApiKeys(self.services.database)
        _, key = await keys.add(
            SYSTEM,
            name or role,
            role,
            owner=owner,
            team="red",
            may_serve_calls=role == "editor",
            limits=limits,
        )
        return key

    async def page(self, path: str = "/ai-compute/connections") -> Page:
        """Opens a page of the console. A test that ends fails if a script of it has failed."""
        page = await self.context.new_page()
        page.set_default_timeout(SOON)
        await page.goto(f"{self.url}{path}")
        return page

    async def signed_in(
        self,
        role: Role,
        path: str = "/ai-compute/connections",
        limits: KeyLimits | None = None,
    ) -> Page:
        page = await self.page(path)
        await page.get_by_label("API key").fill(await self.key(role, limits=limits))
        await page.get_by_role("button", name="Sign in").click()
        return page


async def hold(page: Page, url: str, method: str = "GET") -> asyncio.Future[Route]:
    """Holds the page's next such request; returns it, once it has come, to be answered."""
    held: asyncio.Future[Route] = asyncio.get_running_loop().create_future()

    async def take(route: Route) -> None:
        if held.done() or route.request.method != method:
            await route.fallback()
        else:
            held.set_result(route)

    await page.route(url, take)
    return held


@pytest.fixture(scope="session")
def built() -> None:
    pages.build()


@pytest.fixture
async def console(built: None, tmp_path: Path) -> AsyncIterator[Console]:
    async with running_console(f"sqlite:///{tmp_path}/store.sqlite3", tmp_path) as console:
        yield console


@asynccontextmanager
async def running_console(url: str, folder: Path) -> AsyncIterator[Console]:
    """Serves the built console over a database, and opens Chromium with a profile in the folder."""
    settings = settings_for(
        "ws://127.0.0.1:9",
        console_dir=pages.CONSOLE / "dist",
        database_url=SecretStr(url),
        encryption_keys=SecretStr(MASTER_KEY),
        assistants_file=folder / "assistants.toml",
        phone_file=folder / "phone.toml",
    )
    async with opened(url) as database:
        await migrate(database)
        store = SqlConnectionStore(database, VAULT, quota=Quota(in_all=MANY))
        app = build_app(settings, DiscoveryResult((), {}), store)
        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        running = asyncio.create_task(server.serve([listener]))
        try:
            async with _chromium(folder / "profile") as context:
                address = f"http://127.0.0.1:{listener.getsockname()[1]}"
                yield Console(address, app.state.services, context)
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def _chromium(profile: Path) -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium(),
            headless=True,
            args=["--no-sandbox"],
            viewport={"width": 1200, "height": 850},
            locale="en-GB",
        )
        faults: list[str] = []
        context.on("weberror", lambda fault: faults.append(str(fault.error)))
        try:
            yield context
            assert faults == []
        finally:
            await context.close()
