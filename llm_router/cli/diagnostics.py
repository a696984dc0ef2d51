"""The checks of `llm-router doctor`: of this machine, or of an HTTP process elsewhere."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from llm_router.api_client import ApiClient
from llm_router.cli.check import CHECKS, Finding
from llm_router.cli.command import CommandContext
from llm_router.cli.connect import open_api
from llm_router.cli.output import Output
from llm_router.cli.probe import correction, probe_connection
from llm_router.errors import ApiError, ConfigurationError, RouterError, StoreError
from llm_router.loopback import LOOPBACK_HOST, is_changed
from llm_router.settings.loading import SettingsError, load_section
from llm_router.settings.running import find_demo
from llm_router.settings.store import StoreSettings
from llm_router.store.crypto import load_vault
from llm_router.store.database import Database
from llm_router.store.migrations import read_revisions
from llm_router.store.sealing import holds_secrets, preview_reseal

_CONCURRENT_PROBES = 8


async def check_here() -> AsyncGenerator[Finding, None]:
    """Checks the database, its connections, and what other packages check on this machine.

    Beside a running demo, it checks that one.
    """
    if demo := find_demo():
        demo.adopt()
        message = f"those of the demo at {demo.address}, in {demo.folder}"
        yield Finding("settings", "ok", message)
        yield await _check_process(demo.address)
    is_ready = True
    async for finding in _check_database():
        is_ready = is_ready and finding.state == "ok"
        yield finding
    if is_ready:
        async for finding in _check_connections(None, None):
            yield finding
    async for finding in _run_other_checks():
        yield finding


async def check_over_http(url: str | None, key_file: Path | None) -> AsyncIterator[Finding]:
    """Checks the HTTP process at `url`, or the one that the settings name, and its connections."""
    async with open_api(url, key_file) as api:
        yield await _is_process_ready(api)
    async for finding in _check_connections(url, key_file):
        yield finding


async def _check_process(address: str) -> Finding:
    async with ApiClient(address) as api:
        return await _is_process_ready(api)


async def _is_process_ready(api: ApiClient) -> Finding:
    try:
        await api.check_ready()
    except ApiError as error:
        return Finding("HTTP process", "fault", str(error))
    message = f"{api.url} is ready: the database, LiveKit and a worker with a voice"
    return Finding("HTTP process", "ok", message)


async def _check_database() -> AsyncIterator[Finding]:
    try:
        settings = load_section(StoreSettings)
        database = Database(settings.database_url.get_secret_value())
    except (SettingsError, ConfigurationError) as error:
        yield Finding("database", "fault", str(error))
        return
    try:
        if database.is_missing:
            message = f"{database.display_url} does not exist yet; the first start creates it"
            yield Finding("database", "note", message)
            return
        current, newest = await read_revisions(database)
        if current != newest:
            versions = f"has {f'version {current}' if current else 'no tables'}, needs {newest}"
            message = f"{database.display_url} {versions}; run `llm-router migrate`"
            yield Finding("database", "fault", message)
            return
        yield Finding("database", "ok", f"{database.display_url} answers and is up to date")
        yield await _check_master_key(database, settings)
    except StoreError as error:
        yield Finding("database", "fault", str(error))
    finally:
        await database.aclose()


async def _check_master_key(database: Database, settings: StoreSettings) -> Finding:
    subject = "master key"
    file = settings.encryption_key_file
    if not (settings.master_keys or file.exists() or await holds_secrets(database)):
        return Finding(subject, "note", f"there is none yet; the first start creates {file}")
    try:
        vault = await asyncio.to_thread(load_vault, settings.master_keys, file, may_create=False)
    except ConfigurationError as error:
        return Finding(subject, "fault", str(error))
    preview = await preview_reseal(database, vault)
    if preview.broken:
        more = f" (and {len(preview.broken) - 1} more)" if len(preview.broken) > 1 else ""
        return Finding(subject, "fault", preview.broken[0] + more)
    if preview.rows:
        message = f"{preview.rows} rows are sealed with an older key; run `llm-router keys rotate`"
        return Finding(subject, "note", message)
    return Finding(subject, "ok", "opens every sealed secret")


async def _check_connections(url: str | None, key_file: Path | None) -> AsyncIterator[Finding]:
    try:
        async with open_api(url, key_file) as api:
            context = CommandContext(api, Output(as_json=True))
            active = [item async for item in api.list_items("/connections", {"is_active": True})]
            if not active:
                message = "none is switched on; `llm-router connections discover` finds some"
                yield Finding("connections", "note", message)
            slots = asyncio.Semaphore(_CONCURRENT_PROBES)
            probes = [asyncio.create_task(_probe(context, item, slots)) for item in active]
            try:
                for probe in asyncio.as_completed(probes):
                    yield await probe
            finally:
                for task in probes:
                    task.cancel()
                if probes:
                    await asyncio.wait(probes)
    except RouterError as error:
        yield Finding("connections", "fault", str(error))


async def _probe(
    context: CommandContext, item: dict[str, Any], slots: asyncio.Semaphore
) -> Finding:
    subject = f"connection {item['name']}"
    try:
        async with slots:
            result = await probe_connection(context, item["id"])
    except RouterError as error:
        return Finding(subject, "fault", str(error))
    if failure := result["failure"]:
        advice = failure["advice"] or "wait, and try again"
        if is_changed(item["base_url"], os.environ):
            host = os.environ[LOOPBACK_HOST]
            advice = f"its address is this container; for one of the machine write {host}"
        if edit := correction(item["name"], failure["kind"]):
            advice += f"; to correct that: {edit}"
        return Finding(subject, "fault", f"{failure['kind']} ({failure['reason']}): {advice}")
    message = f"first word after {result['first_word'] or 0:.2f} s"
    if notice := result["notice"]:
        return Finding(subject, "note", f"{message}; {notice}")
    return Finding(subject, "ok", message)


async def _run_other_checks() -> AsyncIterator[Finding]:
    for entry in entry_points(group=CHECKS):
        try:
            check = entry.load()
            async with aclosing(check()) as findings:
                async for finding in findings:
                    yield finding
        except Exception as error:  # noqa: BLE001  a bug of one package's check must not stop the others
            message = f"the check itself failed ({type(error).__name__}: {error}); report this"
            yield Finding(entry.name, "fault", message)
