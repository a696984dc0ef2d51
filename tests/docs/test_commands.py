"""Every command of the documentation is run by a test, or there is a reason why none can.

The pages of `HERE` are typed here, from their first command to their last, against an HTTP process
and a model server of this machine. `ELSEWHERE` names the test that runs a command, and `NOWHERE`
says what a command needs that tests do not have.
"""

import asyncio
import os
import re
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy import paths
from llm_router.testing.server import FaultyServer
from tests.contracts.api_process import isolated_environ, serving
from tests.contracts.processes import environ
from tests.docs.pages import ROOT, Command, commands, pages

HTTP, SITE = "http://127.0.0.1:8787", "https://voice.example"
DESK = (
    "llm-router connections add desk --base-url $MODEL_SERVER/v1 --model qwen3-4b"
    " --set visibility=everyone"
)
HELLO = (
    f'curl -s {HTTP}/v1/chat/completions -H "Authorization: Bearer $KEY"'
    """ --json '{"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}'"""
)
GROQ = (
    """echo '[{"name": "groq", "base_url": "$MODEL_SERVER/v1", "model_name": "m"}]' > groq.json"""
)
SHOP = "SHOP=$(llm-router sites add shop --origin https://shop.example | grep -o 'site_[^ ]*')"
KEY = "KEY=$(cat ~/.local/state/patchbay/admin.key)"


@dataclass(frozen=True)
class Page:
    """A page that is typed here: what must be there before, and what is written otherwise."""

    before: tuple[str, ...] = (KEY, DESK)
    instead: Mapping[str, str] = field(default_factory=dict)


ID = "$(llm-router connections list --json | jq -r '.[0].id')"
OLLAMA = "http://127.0.0.1:11434"
MODEL_SERVERS = {"http://10.0.0.5:8000": "$MODEL_SERVER", "http://127.0.0.1:8000": "$MODEL_SERVER"}
HERE = {
    "docs/api.md": Page((), {**MODEL_SERVERS, "/ID/": f"/{ID}/"}),
    "docs/assistants.md": Page((KEY, DESK, "mkdir config")),
    "docs/chats.md": Page(),
    "docs/cli.md": Page(
        (DESK,),
        {
            "https://api.openai.com": "$MODEL_SERVER",
            "--key ask": "--key - <<< sk-one",
            "--concurrency 4": "--concurrency 4 || [[ $? == 1 ]]",  # one of the two is to fail
        },
    ),
    "docs/clients.md": Page(),
    "docs/connections/README.md": Page((DESK, GROQ), {"/ID/": f"/{ID}/"}),
    "docs/gateway.md": Page((), {**MODEL_SERVERS, OLLAMA: "$MODEL_SERVER"}),
    "docs/keys.md": Page(
        instead={"OLD_ID": "$(llm-router api-keys list --json | jq -r '.[-1].id')"}
    ),
    "docs/mcp.md": Page(),
    "docs/monitoring.md": Page((KEY, DESK, HELLO)),
    "docs/older-doors.md": Page(
        instead={
            '"gpu_available":true': '"gpu_available":false',
            '"queue_size":0': '"queue_size":null',
        }
    ),
    "docs/sites.md": Page(
        ("llm-router assistants add shop --set greeting=Hello",),
        {"rotate-key shop": "rotate-key shop --yes", "remove shop": "remove shop --yes"},
    ),
    "docs/text.md": Page((DESK, SHOP), {SITE: HTTP, "site_2Vt7mBq0yYkq3nGm8XcZ": "$SHOP"}),
    "docs/widget.md": Page(),
}
"""The pages that are typed here, but for the commands below."""

_INSTALLS = "it would change the packages that the tests run with"
_ENGINES = "it downloads gigabytes, or needs a graphics card"
_CONTAINERS = "it needs a Docker engine"
_CLUSTER = "it needs a cluster and a registry of images; tests/chart renders and checks the chart"
_DEVELOPMENT = "it is what runs the tests, or runs for minutes in each release"
NOWHERE = {
    "README.md": {"make test": _DEVELOPMENT},
    "CONTRIBUTING.md": {"make": _DEVELOPMENT, ".venv/bin/pre-commit": _DEVELOPMENT},
    "deploy/vllm/README.md": {
        "python3": _ENGINES,
        "~/vllm": _ENGINES,
        "pip": _ENGINES,
        "unzip": _ENGINES,
        "cd": _ENGINES,
        "sed": _ENGINES,
        "VLLM_CPU_KVCACHE_SPACE": _ENGINES,
    },
    "docs/clients.md": {"OPENAI_API_BASE_URL": "Open WebUI is a gigabyte of packages"},
    "docs/compose.md": {"make": _CONTAINERS, "docker": _CONTAINERS, "SIP_USE": _CONTAINERS},
    "docs/fleet.md": {"EXTRAS": _INSTALLS},
    "docs/kubernetes.md": {"": _CLUSTER},
    "docs/mcp.md": {"claude": "Claude Code needs an account"},
    "docs/phone.md": {
        "sudo": "it changes the machine",
        "baresip": "it needs a sound card",
    },
    "docs/speech.md": {
        "cd": "the folder of the next two",
        "hf": "it downloads half a gigabyte",
        "python -m piper": "it downloads a voice for one language; set-up downloads others",
    },
    "docs/survival.md": {"docker": _CONTAINERS},
    "docs/terminal.md": {"make install-frontend": _INSTALLS},
}
"""The commands that no test runs, by page and begin of the command, and why not."""

ELSEWHERE = {
    "README.md": {
        "make demo": ("tests/calls/test_first_steps.py", "make demo"),
        "OLLAMA_BASE_URL": ("tests/unit/test_environment.py", "OLLAMA_BASE_URL"),
        "OPENAI_API_KEY": ("tests/unit/test_environment.py", "OPENAI_API_KEY"),
    },
    "deploy/vllm/README.md": {
        ".venv/bin/python -m deploy.vllm.suggest": ("tests/unit/test_deploy_vllm.py", "suggest"),
    },
    "docs/calls-out.md": {
        "llm-router": ("tests/contracts/test_cli_calls_out.py", '"phone", "call"')
    },
    "docs/calls.md": {
        "llm-router calls": ("tests/contracts/test_cli_calls.py", 'here("calls", "list"'),
    },
    "docs/cli.md": {
        "llm-router connections discover --add": ("tests/contracts/test_cli.py", '"--add"'),
        "llm-router doctor": ("tests/contracts/test_doctor.py", "doctor"),
    },
    "docs/clients.md": {
        "export": ("tests/clients/test_python.py", "aider"),
        "aider": ("tests/clients/test_python.py", "aider"),
        "GATEWAY_PROCESSES": ("tests/contracts/test_gateway_process.py", "GATEWAY_PROCESSES"),
    },
    "docs/first-steps.md": {"": ("tests/calls/test_first_steps.py", "first-steps.md")},
    "docs/fleet.md": {
        "llm-router fleet": ("tests/contracts/test_fleet_process.py", '"fleet", "up"'),
    },
    "docs/monitoring.md": {"llm-router chat": ("tests/terminal/test_tmux.py", '"Good morning"')},
    "docs/phone.md": {
        "make demo PHONE=1": ("tests/unit/test_deploy_telephone.py", '{"PHONE": value}')
    },
    "docs/speech.md": {
        ".venv/bin/python -m agent.worker try": ("tests/contracts/test_call_process.py", '"try"'),
        ".venv/bin/llm-router doctor": ("tests/contracts/test_doctor.py", "doctor"),
    },
    "docs/survival.md": {
        "WORKER_PORT": ("tests/voice/stack.py", "WORKER_PORT"),
        "curl": ("tests/contracts/test_worker_health.py", "readyz"),
        "kill": ("tests/voice/stack_processes.py", "SIGUSR1"),
    },
    "docs/terminal.md": {
        "make frontend": ("tests/terminal/test_tmux.py", '"llm_router.cli", "chat"'),
        "PATCHBAY_API_URL": ("tests/terminal/test_tmux.py", "PATCHBAY_API_URL"),
    },
    "docs/widget.md": {"python3 -m http.server": ("tests/calls/test_widget.py", "widget.js")},
    "llm_router/README.md": {"pip": ("tests/contracts/test_distribution.py", "wheel")},
}
"""The tests that run commands, by page and begin of the command: a file, and a text in it."""


def begin_of(command: Command, table: Mapping[str, Mapping[str, object]], page: str) -> str | None:
    """Returns the entry of a table that a command is in."""
    return next((begin for begin in table.get(page, {}) if str(command).startswith(begin)), None)


def typed_here(page: str) -> list[Command]:
    """Returns the commands of a page that are typed here."""
    return [
        command
        for command in commands(page)
        if begin_of(command, NOWHERE, page) is None and begin_of(command, ELSEWHERE, page) is None
    ]


@pytest.mark.parametrize("page", pages())
def test_every_command_of_a_page_is_run_or_there_is_a_reason(page: str) -> None:
    assert page in HERE or typed_here(page) == []


def test_the_tables_name_tests_that_are_there_and_commands_of_the_pages() -> None:
    for table in (NOWHERE, ELSEWHERE):
        for page, begins in table.items():
            used = {begin_of(command, table, page) for command in commands(page)}
            assert used >= set(begins), page
    for tests in ELSEWHERE.values():
        for file, text in tests.values():
            assert text in (ROOT / file).read_text(encoding="utf-8"), file


def local(text: str, page: Page, url: str, model_server: str) -> str:
    """Returns a command with this test's servers, and with what the page leaves open."""
    for there, here in page.instead.items():
        text = text.replace(there, here)
    return text.replace(HTTP, url).replace("$MODEL_SERVER", model_server)


def fits(shown: str, output: str) -> bool:
    """Returns whether the output has what the page shows; numbers and keys may be others."""
    pattern = re.escape("".join(shown.split())).replace(r"\.\.\.", ".*")
    pattern = re.sub(r"site_\w+", r"site_[\\w-]+", re.sub(r"(?<![A-Za-z_])\d+", r"\\d+", pattern))
    return re.search(pattern, "".join(output.split())) is not None


async def type_all(lines: list[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Types commands in one shell, which ends at the first that fails; returns what they show."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", "\n".join(lines),
        cwd=folder, env=variables, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:  # the test is cancelled
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode == 0, output
    return output


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", HERE)
async def test_the_commands_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    typed = typed_here(page)
    for command in typed:  # a file that the page shows is there
        if name := re.fullmatch(r"cat (\S+)", command.typed):
            (tmp_path / name[1]).write_text(command.shown + "\n")
    # What hangs says so shortly before the test's own limit, however busy the machine is.
    (tmp_path / ".curlrc").write_text("fail-with-body\nshow-error\nmax-time = 240\n")
    prompts = ROOT / "config" / "prompts"
    settings = isolated_environ(tmp_path) | {
        "ALLOWED_ADDRESSES": "127.0.0.0/8",
        "ASSISTANT_PROMPT_FILE": str(prompts / "assistant.md"),
        "PHRASES_FILE": str(prompts / "phrases.toml"),
    }
    async with FaultyServer() as server, serving(tmp_path, **settings) as http:
        variables = {
            **environ(tmp_path, **settings),
            "PATH": f"{paths.VENV / 'bin'}:/usr/bin:/bin",
        }
        lines = [
            *HERE[page].before,
            *(f"echo '=== {n}'\n{one.typed}" for n, one in enumerate(typed)),
        ]
        model_server = server.base_url.removesuffix("/v1")
        here = [local(line, HERE[page], http.url, model_server) for line in lines]
        output = await type_all(here, tmp_path, variables)
        for number, one in enumerate(typed):
            part = output.partition(f"=== {number}\n")[2].partition("=== ")[0]
            shown = local(one.shown, HERE[page], http.url, model_server)
            assert fits(shown, part), (one.typed, output)
