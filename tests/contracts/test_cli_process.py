"""`llm-router` as a real process, at a terminal and in a pipe."""

import asyncio
import os
import pty
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.store.connections import SqlConnectionStore, open_store
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.sealing import preview_reseal
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.version import __version__
from tests.contracts.cli_process import command, environ, ran, started
from tests.contracts.databases import Server, opened

KEY = "sk-0123456789-wxyz"
OLD_KEY, NEW_KEY = (Fernet.generate_key().decode() for _ in range(2))
BOTH = Vault([NEW_KEY, OLD_KEY])
ROWS = 300


async def at_a_terminal(
    folder: Path, *arguments: str, asked: str = "", typed: str = "", **variables: str
) -> str:
    """Runs a command at a terminal and returns the screen; types `typed` at the prompt `asked`."""
    mine, its = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *command(*arguments),
        cwd=folder,
        env=environ(folder, **variables),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    seen, reader = "", asyncio.StreamReader()
    screen, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(mine, "rb", 0)
    )
    try:
        with suppress(OSError):  # how a terminal says that the other end is closed
            while more := await reader.read(4096):
                seen += more.decode()
                if asked and asked in seen:
                    os.write(mine, f"{typed}\n".encode())
                    asked = ""
        assert await process.wait() == 0, seen
    finally:
        screen.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
    return seen


# ── Output ───────────────────────────────────────────────────────────────────────────────────────


async def test_help_states_the_exit_codes_and_the_variables(tmp_path: Path) -> None:
    code, out, _ = await ran(tmp_path, "--help")
    assert code == 0
    text = " ".join(out.split())
    assert "Exit codes: 0 done; 1 done, and the answer is no" in text
    assert "DATABASE_URL" in text
    assert not (tmp_path / ".local").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("connections", "show"), "Missing argument"),
        (("connections", "list", "--type", "none"), "'none' is not one of"),
        (("api-keys", "create", "a"), "Missing option '--role'"),
    ],
)
async def test_invalid_arguments_are_reported_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = await ran(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("llm-router: ")
    assert message in err
    assert err.endswith(" --help\n")
    assert len(err.splitlines()) == 1


async def test_a_wrong_argument_names_the_help_of_its_command(tmp_path: Path) -> None:
    _, _, err = await ran(tmp_path, "connections", "add", "--nonsense")
    assert err.endswith("See llm-router connections add --help\n")
    _, _, err = await ran(tmp_path, "nonsense")
    assert err.endswith("See llm-router --help\n")


@pytest.mark.parametrize("arguments", [(), ("connections",), ("keys",)])
async def test_a_group_without_a_command_prints_its_help_alone(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    code, out, err = await ran(tmp_path, *arguments)
    assert code == 2
    assert "Commands" in out + err
    assert "llm-router: " not in err


async def test_the_version_is_printed(tmp_path: Path) -> None:
    assert await ran(tmp_path, "--version") == (0, f"llm-router {__version__}\n", "")


async def test_a_database_that_does_not_answer_is_reported_in_one_line(tmp_path: Path) -> None:
    url = "postgresql://me:pg-secret@127.0.0.1:1/none"
    code, _, err = await ran(tmp_path, "connections", "list", DATABASE_URL=url)
    assert code == 2
    assert "check that it runs, and the address in the URL" in err
    assert "pg-secret" not in err
    assert len(err.splitlines()) == 1


async def test_only_a_terminal_without_no_color_gets_colour(tmp_path: Path) -> None:
    words = ("connections", "add", "a", "--provider", "offline", "--no-test")
    await ran(tmp_path, *words)
    coloured = await at_a_terminal(tmp_path, "connections", "list")
    assert "\x1b[" in coloured
    assert "untested" in coloured
    plain = await at_a_terminal(tmp_path, "connections", "list", NO_COLOR="1")
    assert "untested" in plain
    assert "\x1b[3" not in plain
    _, piped, _ = await ran(tmp_path, "connections", "list")
    assert "\x1b" not in piped
    assert piped.splitlines()[1].split("\t")[0] == "a"


async def test_a_key_typed_at_the_prompt_is_not_shown(tmp_path: Path) -> None:
    words = ("connections", "add", "a", "--provider", "offline", "--key", "ask")
    # The prompt's last blank is printed once the terminal no longer echoes.
    seen = await at_a_terminal(tmp_path, *words, asked="the API key: ", typed=KEY)
    assert "added a" in seen
    assert KEY not in seen
    _, out, _ = await ran(tmp_path, "connections", "list")
    assert "...wxyz" in out


async def test_words_are_streamed_and_ctrl_c_ends_the_command_quietly(tmp_path: Path) -> None:
    async with FaultyServer(Script(fault=Fault.STALL_AFTER)) as server:
        words = ("connections", "add", "a", "--base-url", server.base_url, "--no-test")
        await ran(tmp_path, *words)
        async with started(tmp_path, "connections", "test", "a") as process:
            assert process.stdout is not None
            assert await process.stdout.readexactly(12) == b"Hello there,"
            assert not server.requests[0].is_finished
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert (process.returncode, err) == (130, b"")
        assert await server.disconnected() is not None


# ── Maintenance ──────────────────────────────────────────────────────────────────────────────────


async def test_the_schema_is_printed_as_sql(tmp_path: Path) -> None:
    code, out, _ = await ran(tmp_path, "migrate", "--sql")
    assert code == 0
    assert "CREATE TABLE llm_connections" in out
    assert not (tmp_path / ".local").exists()
    url = "postgresql://me@127.0.0.1:1/none"
    _, out, _ = await ran(tmp_path, "migrate", "--sql", DATABASE_URL=url)
    assert "TIMESTAMP WITH TIME ZONE" in out


async def test_a_database_is_brought_up_to_date_once(server: Server, tmp_path: Path) -> None:
    url = await server.new(migrated=False)
    _, out, _ = await ran(tmp_path, "migrate", DATABASE_URL=url)
    assert "from no tables to version 0" in out
    _, out, _ = await ran(tmp_path, "migrate", DATABASE_URL=url)
    assert "is up to date at version 0" in out


async def resealed(database: Database) -> int:
    return ROWS - (await preview_reseal(database, BOTH)).rows


@pytest.mark.timeout(300)
async def test_a_rotation_that_is_killed_loses_nothing_and_continues(
    server: Server, tmp_path: Path
) -> None:
    url = await server.new()
    keys = {f"{n}": f"{KEY}-{n}" for n in range(ROWS)}
    async with open_store(url, Vault([OLD_KEY])) as store:
        rows = [Connection(id=n, name=n, api_key=key) for n, key in keys.items()]
        await store.add(SYSTEM, rows)
    variables = {"DATABASE_URL": url, "ENCRYPTION_KEYS": f"{NEW_KEY},{OLD_KEY}"}
    async with opened(url) as database, started(tmp_path, "keys", "rotate", **variables) as killed:
        while (done := await resealed(database)) < 3:
            assert killed.returncode is None, await killed.communicate()
        killed.kill()
        await killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        done = await resealed(database)
        assert 3 <= done < ROWS
        assert await opened_with(database, BOTH) == keys

        code, out, _ = await ran(tmp_path, "keys", "rotate", **variables)
        assert (code, out) == (
            0, f"rows resealed: {ROWS - done}; all of them use the first master key now\n",
        )  # fmt: skip
        assert await opened_with(database, Vault([NEW_KEY])) == keys


async def opened_with(database: Database, vault: Vault) -> dict[str, str | None]:
    page = await SqlConnectionStore(database, vault).find(SYSTEM, Query(limit=None), secrets=True)
    assert not page.unreadable
    return {c.id: c.api_key for c in page.items}
