"""Runs clients in JavaScript against the HTTP process: openai-node, Vercel's and Continue's."""

from pathlib import Path

import pytest

from deploy import page, toolchain
from llm_router.testing.server import Script
from tests.clients.served import gateway

pytestmark = pytest.mark.live

FOLDER = Path(__file__).with_name("node")
_OPENAI = 'import OpenAI from "openai";'
_VERCEL = """
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";
"""


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


@pytest.mark.parametrize(
    ("word", "imports"), [("new OpenAI(", _OPENAI), ("createOpenAICompatible(", _VERCEL)]
)
async def test_its_example_prints_the_answer(
    word: str, imports: str, node_path: str, tmp_path: Path
) -> None:
    async with gateway(tmp_path) as served:
        program = f"{imports}\nconst KEY = process.env.KEY;\n{served.example(word)}"
        printed = await served.run(
            "node", "--input-type=module", "-e", program, folder=FOLDER, PATH=node_path
        )
    assert printed.strip() == "".join(Script().words)


async def test_continues_example_is_a_valid_configuration_and_its_adapter_reads_replies(
    node_path: str, tmp_path: Path
) -> None:
    async with gateway(tmp_path) as served:
        example = served.example("provider: openai").replace("KEY", served.key)
        printed = await served.run(
            "node",
            FOLDER / "continue.mjs",
            PATH=node_path,
            WORDS="".join(Script().words),
            EXAMPLE=example,
        )
    assert printed.strip() == "well"


async def test_continues_program_reads_a_file_for_the_model_and_prints_the_answer(
    node_path: str, tmp_path: Path
) -> None:
    hours, config = tmp_path / "hours.txt", tmp_path / "config.yaml"
    hours.write_text("From nine to five.")
    async with gateway(tmp_path) as served:
        config.write_text(served.example("provider: openai").replace("KEY", served.key))
        printed = await served.run(
            "node",
            FOLDER / "node_modules" / ".bin" / "cn",
            *("-p", "--config", config, f"Read '{hours}'"),
            folder=tmp_path,
            PATH=node_path,
            HOME=str(tmp_path),
            CONTINUE_TELEMETRY_ENABLED="0",
        )
        asked = served.server.requests[-1].body["messages"]
    assert printed.strip().endswith("".join(Script().words))
    assert "From nine to five." in str(asked[-1])
