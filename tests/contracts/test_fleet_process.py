"""`llm-router fleet` as processes of their own, against EC2 on a socket."""

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llm_router.fleet.cloud import Instance, Notice
from llm_router.fleet.ec2 import Ec2Cloud, open_ec2
from llm_router.fleet.spec import FleetSpec
from tests.contracts import cli_process
from tests.contracts.ec2_server import CREDENTIALS, REGION, emptied
from tests.contracts.metadata_service import running_metadata

WISHES = ("--size", "2", "--max-hourly", "1.5")


class FleetShell:
    """Runs `llm-router fleet` in a folder, with a database of its own there."""

    def __init__(self, folder: Path, cloud: Ec2Cloud, url: str, template: str) -> None:
        self.folder = folder
        self.cloud = cloud
        self.template = template
        self.up = ("fleet", "up", "llama", "--template", template, *WISHES, "--endpoint", url)
        self._url = url
        self.variables = {
            **CREDENTIALS,
            "DATABASE_URL": f"sqlite:///{folder}/store.sqlite3",
            "ENCRYPTION_KEY_FILE": str(folder / "master.key"),
        }

    async def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        ended, out, err = await cli_process.ran(
            self.folder, "fleet", *words, "--endpoint", self._url, **self.variables
        )
        assert ended == code, err
        return out, err

    async def living(self) -> list[Instance]:
        return [i for i in await self.cloud.instances("llama") if i.state != "gone"]


async def begun(controller: Process, count: int) -> None:
    """Waits until a controller has said so often that a launch has begun."""
    assert controller.stderr
    async with asyncio.timeout(60):
        while count:
            line = await controller.stderr.readline()
            assert line, "the controller has ended"
            count -= line.rstrip().endswith(b"has begun")


@pytest.fixture
async def shell(
    moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FleetShell]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    async with (
        emptied(moto) as server,
        open_ec2(region=REGION, endpoint=server.url) as cloud,
    ):
        yield FleetShell(tmp_path, cloud, server.url, server.template)


async def test_a_controller_that_is_killed_loses_nothing_and_the_end_leaves_nothing(
    shell: FleetShell,
) -> None:
    async with cli_process.started(shell.folder, *shell.up, **shell.variables) as first:
        await begun(first, 2)
        first.kill()
        await first.communicate()
    instances = sorted(i.id for i in await shell.living())
    assert len(instances) == 2
    async with cli_process.started(shell.folder, *shell.up, **shell.variables) as second:
        shown: dict[str, Any] = json.loads((await shell.run("status", "llama", "--json"))[0])
        assert sorted(row["instance"] for row in shown["instances"]) == instances
        assert {row["state"] for row in shown["instances"]} == {"starting"}
        assert (shown["wanted"], shown["templates"]) == (2, {})
        out, _ = await shell.run("down", "llama", "--now")
        assert out == "llama has ended; nothing of it runs any more\n"
        assert await shell.living() == []
        ended, _ = await second.communicate()
        assert ended.decode() == "llama has ended\n"
    assert sorted(i.id for i in await shell.cloud.instances("llama")) == instances


async def test_a_region_is_asked_for_and_so_are_credentials(tmp_path: Path) -> None:
    variables = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/store.sqlite3",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for option, words in (((), "--region"), (("--region", REGION), "credentials")):
        ended, _, err = await cli_process.ran(
            tmp_path, "fleet", "status", "llama", *option, **variables
        )
        assert ended == 2
        assert words in err


async def test_a_notice_on_the_instance_reaches_the_controllers_cloud(
    shell: FleetShell, tmp_path: Path
) -> None:
    await shell.cloud.launch(FleetSpec(name="llama", template=shell.template, max_hourly=1.0), 7)
    [one] = await shell.living()
    until = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    options = ("--action", "terminate", "--time", f"{until:%Y-%m-%dT%H:%M:%SZ}")
    async with running_metadata(tmp_path, one.id, REGION, *options) as address:
        out, _ = await shell.run("watch", "--metadata", address)
    assert out == "passed on: interruption\n"
    [noticed] = await shell.living()
    assert noticed.notice == Notice("interruption", until.timestamp())
