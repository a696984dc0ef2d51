"""Walks the drill of docs/keys.md as it is written, beside a running HTTP process."""

import re
import shlex
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from deploy import paths
from tests.contracts import cli_process
from tests.contracts.api_process import STATE, Serving, admin_key, isolated_environ, serving

PAGE = (paths.ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
SECRET = "sk-0123456789-wxyz"


def steps(title: str) -> list[str]:
    """Returns the lines that a reader types below a heading."""
    part = PAGE.partition(f"### {title}\n")[2].partition("\n###")[0]
    return re.findall(r"^\$ (.+)$", part, re.MULTILINE)


@dataclass
class Drill:
    """A folder with a database and keys, and an HTTP process that can be restarted."""

    folder: Path
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    server: Serving | None = None

    async def restart(self) -> None:
        await self.stack.aclose()
        variables = isolated_environ(self.folder)
        self.server = await self.stack.enter_async_context(serving(self.folder, **variables))

    async def type(self, line: str) -> str:
        """Does what a line says; a comment about a restart is a restart."""
        program, *words = shlex.split(line, comments=False)
        if program == "#":
            assert words[0] == "restart"
            await self.restart()
            return ""
        assert program == "llm-router"
        code, out, err = await cli_process.ran(self.folder, *words)
        assert code == 0, err
        return out

    async def asks(self, key: str = "", cookie: str = "", path: str = "/api/me") -> int:
        assert self.server
        headers = {"Authorization": f"Bearer {key}"} if key else {"Cookie": cookie}
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self.server.url}{path}", headers=headers)).status_code

    async def signs_in(self, key: str) -> str:
        assert self.server
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(
                f"{self.server.url}/api/session",
                json={"api_key": key},
                headers={"Origin": self.server.url},
            )
        assert answer.status_code == 201, answer.text
        return str(answer.headers["set-cookie"].split(";")[0])


async def test_the_master_key_is_changed_and_the_old_one_opens_nothing_any_more(
    tmp_path: Path,
) -> None:
    drill = Drill(tmp_path)
    async with drill.stack:
        await drill.restart()
        admin = admin_key(tmp_path)
        cookie = await drill.signs_in(admin)
        added = ["connections", "add", "cloud", "--base-url", "http://127.0.0.1:1/v1"]
        await cli_process.ran(
            tmp_path, *added, "--model", "m", "--no-test", "--key", "env:IT", IT=SECRET
        )
        file = tmp_path / STATE / "master.key"
        old = file.read_text().splitlines()[-1]

        for number, line in enumerate(steps("The master key")):
            await drill.type(line)
            assert await drill.asks(admin) == 200
            if number < 4:
                assert await drill.asks(cookie=cookie) == 200
        assert old not in file.read_text()
        assert await drill.asks(cookie=cookie) == 401  # the old key vouched for it
        assert await drill.asks(cookie=await drill.signs_in(admin)) == 200
        assert "cloud" in await drill.type("llm-router connections list")
        code, out, _ = await cli_process.ran(tmp_path, "keys", "rotate")
        assert (code, out) == (0, "rows resealed: 0; all of them use the first master key now\n")
        code, _, err = await cli_process.ran(tmp_path, "keys", "rotate", ENCRYPTION_KEYS=old)
        assert code == 1
        assert "cannot be opened" in err


async def test_an_old_key_is_not_retired_while_anything_needs_it(tmp_path: Path) -> None:
    added = ["connections", "add", "cloud", "--base-url", "http://127.0.0.1:1/v1"]
    await cli_process.ran(
        tmp_path, *added, "--model", "m", "--no-test", "--key", "env:IT", IT=SECRET
    )
    drill = Drill(tmp_path)
    await drill.type("llm-router keys new")
    before = (tmp_path / STATE / "master.key").read_text()
    code, _, err = await cli_process.ran(tmp_path, "keys", "retire")
    assert code == 2
    assert "llm-router keys rotate" in err
    assert (tmp_path / STATE / "master.key").read_text() == before


async def test_an_api_key_is_replaced_by_another_before_it_is_revoked(tmp_path: Path) -> None:
    drill = Drill(tmp_path)
    async with drill.stack:
        await drill.restart()
        old = (await drill.type("llm-router api-keys create anna --role editor")).strip()
        cookie = await drill.signs_in(old)
        create, show, revoke = steps("An API key")
        new = (await drill.type(create)).strip()
        listed = (await drill.type(show)).splitlines()
        [row] = [line.split("\t") for line in listed if "\tanna\t" in line]
        assert [await drill.asks(key) for key in (old, new)] == [200, 200]
        await drill.type(revoke.replace("OLD_ID", row[0]))
        assert await drill.asks(new) == 200
        assert await drill.asks(old) == 401
        assert await drill.asks(cookie=cookie) == 401
