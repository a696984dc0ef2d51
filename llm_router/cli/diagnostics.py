"""What `llm-router doctor` looks at: this machine, or an HTTP process elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from config.settings import SettingsError, StoreSettings, load_section
from llm_router.cli.check import CHECKS, Finding
from llm_router.cli.command import Session
from llm_router.cli.connect import open_api
from llm_router.cli.output import Output
from llm_router.cli.probe import ask
from llm_router.errors import ApiError, ConfigurationError, RouterError, StoreError
from llm_router.store.crypto import load_vault
from llm_router.store.database import Database
from llm_router.store.migrations import read_revisions
from llm_router.store.sealing import holds_secrets, preview_reseal

_AT_ONCE = 8
"""Connections that are tried side by side."""


async def here() -> AsyncIterator[Finding]:
    is_ready = True
    async for finding in _database():
        is_ready = is_ready and finding.state == "ok"
        yield finding
    if is_ready:
        async for finding in _connections(None, None):
            yield finding
    async for finding in _more_checks():
        yield finding


async def over_http(url: str | None, key_file: Path | None) -> AsyncIterator[Finding]:
    async with open_api(url, key_file) as api:
        try:
            await api.ready()
        except ApiError as error:
            yield Finding("HTTP process", "fault", str(error))
        else:
            said = f"{api.shown} is ready: database and LiveKit answer"
            yield Finding("HTTP process", "ok", said)
    async for finding in _connections(url, key_file):
        yield finding


async def _database() -> AsyncIterator[Finding]:
    try:
        settings = load_section(StoreSettings)
        database = Database(settings.database_url.get_secret_value())
    except (SettingsError, ConfigurationError) as error:
        yield Finding("database", "fault", str(error))
        return
    try:
        if _is_missing(database):
            said = f"{database.display_url} is not there yet; it is made at the first start"
            yield Finding("database", "note", said)
            return
        current, newest = await read_revisions(database)
        if current != newest:
            said = f"{database.display_url} is at {current or 'nothing'}, and {newest} is due"
            yield Finding("database", "fault", f"{said}; run `llm-router migrate`")
            return
        yield Finding("database", "ok", f"{database.display_url} answers, and is up to date")
        yield await _master_key(database, settings)
    except StoreError as error:
        yield Finding("database", "fault", str(error))
    finally:
        await database.aclose()


def _is_missing(database: Database) -> bool:
    """Looked at first, since opening it would make it."""
    return database.dialect == "sqlite" and not Path(database.url.database or "").exists()


async def _master_key(database: Database, settings: StoreSettings) -> Finding:
    what, file = "master key", settings.encryption_key_file
    if not (settings.master_keys or file.exists() or await holds_secrets(database)):
        return Finding(what, "note", f"there is none yet; {file} is made at the first start")
    try:
        vault = await asyncio.to_thread(load_vault, settings.master_keys, file, may_make=False)
    except ConfigurationError as error:
        return Finding(what, "fault", str(error))
    seen = await preview_reseal(database, vault)
    if seen.broken:
        more = f" (and {len(seen.broken) - 1} more)" if len(seen.broken) > 1 else ""
        return Finding(what, "fault", seen.broken[0] + more)
    if seen.rows:
        said = f"{seen.rows} rows are sealed under an older key; run `llm-router keys rotate`"
        return Finding(what, "note", said)
    return Finding(what, "ok", "opens all that is sealed")


async def _connections(url: str | None, key_file: Path | None) -> AsyncIterator[Finding]:
    try:
        async with open_api(url, key_file) as api:
            session = Session(api, Output(as_json=True))
            active = [item async for item in api.pages("/connections", {"is_active": True})]
            if not active:
                said = "there is none that is on; `llm-router connections discover` finds some"
                yield Finding("connections", "note", said)
            turn = asyncio.Semaphore(_AT_ONCE)
            asked = [asyncio.create_task(_ask(session, item, turn)) for item in active]
            try:
                for each in asyncio.as_completed(asked):
                    yield await each
            finally:
                for task in asked:
                    task.cancel()
                if asked:
                    await asyncio.wait(asked)
    except RouterError as error:
        yield Finding("connections", "fault", str(error))


async def _ask(session: Session, item: dict[str, Any], turn: asyncio.Semaphore) -> Finding:
    what = f"connection {item['name']}"
    try:
        async with turn:
            result = await ask(session, item["id"])
    except RouterError as error:
        return Finding(what, "fault", str(error))
    if failure := result["failure"]:
        advice = failure["advice"] or "wait, and try again"
        return Finding(what, "fault", f"{failure['kind']} ({failure['reason']}): {advice}")
    return Finding(what, "ok", f"first word after {result['first_word'] or 0:.2f} s")


async def _more_checks() -> AsyncIterator[Finding]:
    for entry in entry_points(group=CHECKS):
        try:
            check = entry.load()
            async with aclosing(check()) as findings:
                async for finding in findings:
                    yield finding
        except Exception as error:  # noqa: BLE001  a check of others must not end all checks
            said = f"the check itself failed ({type(error).__name__}: {error}); report it"
            yield Finding(entry.name, "fault", said)
