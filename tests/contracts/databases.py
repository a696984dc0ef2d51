"""Real databases for tests: SQLite files, and a PostgreSQL server started once per session."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # ships no types
import pytest
from alembic import command
from sqlalchemy import Connection

from llm_router.store.database import Database
from llm_router.store.migrations import migrate, steps

PASSWORD = "pg-secret"
_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=")
_MIGRATED = "migrated"


@dataclass(frozen=True)
class Postgres:
    port: int
    names: list[str] = field(default_factory=list)
    """Names of the databases that were made."""
    control: Callable[[str], None] = field(default=lambda _: None, repr=False)
    """Starts the server, or stops it as a crash does, at the words `start` and `crash`."""

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://patchbay:{password}@127.0.0.1:{self.port}/{database}"

    async def new(self, *, migrated: bool = True) -> str:
        name = f"test_{uuid4().hex}"
        template = _MIGRATED if migrated else "template0"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self.names.append(name)
        return self.url(name)

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def prepare(self) -> None:
        await self.execute(f"CREATE DATABASE {_MIGRATED}")
        async with opened(self.url(_MIGRATED)) as database:
            await migrate(database)


@asynccontextmanager
async def opened(url: str, patience: float = 30.0) -> AsyncIterator[Database]:
    # A loaded machine may take longer than a server in use should: sixty writers wait in line here.
    database = Database(url, patience=patience, answer_within=30.0)
    try:
        yield database
    finally:
        await database.aclose()


@contextmanager
def running_postgres(*settings: str) -> Iterator[Postgres]:
    """Starts a PostgreSQL server with these additional settings; stops it after the block."""
    with tempfile.TemporaryDirectory(prefix="patchbay-postgres-") as folder:
        user = _user(Path(folder))
        port = _unused_port()
        cluster, log = f"{folder}/cluster", f"{folder}/log"
        secret = Path(folder, "password")
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        account = ("--username=patchbay", "--auth=scram-sha-256", f"--pwfile={secret}")
        _run(user, "initdb", "--no-sync", "--locale=C.UTF-8", *account, f"--pgdata={cluster}")
        options = " ".join(f"-c {one}" for one in (*_SETTINGS, *settings, f"port={port}"))
        pg_ctl = ("pg_ctl", f"--pgdata={cluster}", "--wait")

        def control(what: str) -> None:
            words = {
                "start": (f"--log={log}", f"--options={options}", "start"),
                "crash": ("--mode=immediate", "stop"),
            }
            _run(user, *pg_ctl, *words[what])

        control("start")
        try:
            server = Postgres(port, control=control)
            asyncio.run(server.prepare())
            yield server
        finally:
            control("crash")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Postgres]:
    with running_postgres("fsync=off") as cluster:
        yield cluster


@pytest.fixture
async def postgres(cluster: Postgres) -> AsyncIterator[Postgres]:
    """The server; its databases, 8 MB each, are dropped after the test."""
    server = Postgres(cluster.port)
    yield server
    for name in server.names:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "store.sqlite3"

    async def prepare() -> None:
        async with opened(f"sqlite:///{path}") as database:
            await migrate(database)

    asyncio.run(prepare())
    return path


@dataclass(frozen=True)
class Files:
    """Makes SQLite files in place of databases of `Postgres`."""

    folder: Path
    template: Path

    async def new(self, *, migrated: bool = True) -> str:
        path = self.folder / f"{uuid4().hex}.sqlite3"
        if migrated:
            shutil.copy(self.template, path)
        return f"sqlite:///{path}"


class Server(Protocol):
    async def new(self, *, migrated: bool = True) -> str:
        """Makes a database, empty or with all tables, and returns its URL."""


@pytest.fixture
def files(tmp_path: Path, migrated_file: Path) -> Files:
    return Files(tmp_path, migrated_file)


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each kind of database in turn."""
    kind: Server = request.getfixturevalue("postgres" if request.param == "postgresql" else "files")
    return kind


@pytest.fixture
async def database(server: Server) -> AsyncIterator[Database]:
    """A database with all tables, of each kind in turn."""
    async with opened(await server.new()) as database:
        yield database


def _user(folder: Path) -> str | None:
    """Returns the user for PostgreSQL, which refuses to run as root, and gives it the folder."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in known else "nobody"
    shutil.chown(folder, user)
    return user


def _run(user: str | None, program: str, *arguments: str) -> None:
    # In a session of its own, so that Ctrl-C does not stop it before the tests.
    done = subprocess.run(
        [_program(program), *arguments],
        check=False, user=user, extra_groups=[] if user else None, cwd="/", text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{program}: {done.stderr}"


def _program(name: str) -> str:
    # Debian installs each version into a folder of its own, not on PATH.
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or next(map(str, reversed(versions)), None)
    assert found, f"{name} is not there: install PostgreSQL 15 or newer (Debian: postgresql)"
    return found


def _unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def back_to(database: Database, revision: str) -> None:
    """Takes back the migrations after `revision`."""

    def down(connection: Connection) -> None:
        command.downgrade(steps.config(connection=connection), revision)

    async with database.writing() as db:
        await db.run_sync(down)
