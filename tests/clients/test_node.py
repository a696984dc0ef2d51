"""Runs clients in JavaScript against the HTTP process: openai-node and Vercel's provider."""

from pathlib import Path

import pytest

from deploy import page, toolchain
from llm_router.testing.server import Script
from tests.clients.served import gateway

pytestmark = pytest.mark.live

FOLDER = Path(__file__).with_name("node")


@pytest.fixture(scope="session")
def node_path() -> str:
    """Installs the packages, and returns the PATH on which `node` is."""
    page.install(FOLDER)
    return page.npm_environ(toolchain.npm())["PATH"]


@pytest.mark.parametrize("client", ["openai_node", "vercel"])
async def test_it_reads_whole_and_streamed_replies(
    client: str, node_path: str, tmp_path: Path
) -> None:
    async with gateway(tmp_path, calls=2) as served:
        printed = await served.run(
            "node", FOLDER / f"{client}.mjs", PATH=node_path, WORDS="".join(Script().words)
        )
    assert printed.strip() == "well"
