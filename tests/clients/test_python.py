"""Runs clients in Python against the HTTP process, each in an environment of its own."""

import os
import re
from pathlib import Path

import pytest

from deploy import environments
from llm_router.testing.server import Script
from tests.clients.served import MODEL, OTHER, gateway

pytestmark = pytest.mark.live

PROGRAMS = Path(__file__).with_name("programs")
_FOR_OTHER_MODELS = ("anthropic_inputs", "image", "pdf", "audio", "stream_time")
"""Parts of the names of tests that may be skipped: of inputs that this model does not take."""


@pytest.mark.timeout(300)
async def test_langchains_standard_tests_of_a_chat_model_pass(tmp_path: Path) -> None:
    python = environments.provide("langchain", "LangChain")
    # The suite has one client for all its tests, so they need one event loop.
    loop = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session")
    where = ("-c", "/dev/null", "--rootdir", PROGRAMS, "--noconftest", "-p", "no:cacheprovider")
    async with gateway(tmp_path) as served:
        printed = await served.run(
            python, "-m", "pytest", "-v", *loop, *where, PROGRAMS / "langchain_standard.py",
            MODEL=MODEL, OTHER_MODEL=OTHER,
        )  # fmt: skip
    assert printed.count(" PASSED") >= 40, printed
    for name in re.findall(r"::test_(\S+) SKIPPED", printed):
        assert any(part in name for part in _FOR_OTHER_MODELS), name


@pytest.mark.parametrize("client", ["llama-index", "litellm-client"])
async def test_it_reads_words_tools_and_usage(client: str, tmp_path: Path) -> None:
    python = environments.provide(client, client)
    program = PROGRAMS / f"{client.removesuffix('-client').replace('-', '_')}_client.py"
    async with gateway(tmp_path, calls=2) as served:
        printed = await served.run(
            python, program, WORDS="".join(Script().words), LITELLM_LOCAL_MODEL_COST_MAP="True"
        )
    assert printed.splitlines()[-1] == "well", printed


@pytest.mark.parametrize("client", ["langchain", "llama-index"])
async def test_its_example_prints_the_answer(client: str, tmp_path: Path) -> None:
    python = environments.provide(client, client)
    async with gateway(tmp_path) as served:
        example = served.example(f"from {client.replace('-', '_')}")
        program = f'import os\nKEY = os.environ["KEY"]\n{example}'
        printed = await served.run(python, "-c", program)
    assert printed.strip() == "".join(Script().words)


async def test_the_example_of_aider_edits_nothing_and_prints_the_answer(tmp_path: Path) -> None:
    program = environments.provide("aider", "aider").with_name("aider")
    options = (
        "--message 'When do you open?' --yes-always --no-git --no-check-update --no-analytics"
        " --no-show-model-warnings --no-pretty --no-gitignore"
    )
    async with gateway(tmp_path) as served:
        script = f"{served.example('aider --model')} {options}".replace("$ ", "").replace(
            "\n ", " "
        )
        path = f"{program.parent}:{os.environ['PATH']}"
        printed = await served.run(
            "bash", "-ec", script, folder=tmp_path, PATH=path, LITELLM_LOCAL_MODEL_COST_MAP="True"
        )
    assert "".join(Script().words) in printed
