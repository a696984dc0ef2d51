"""Every step of docs/first-steps.md works as it is written."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy import paths
from deploy.ports import Ports, free_ports
from tests.calls.page_walk import Question, Shown, Step, Terminal, walking, walks
from tests.voice.stack import build_programs

PAGE = (paths.ROOT / "docs" / "first-steps.md").read_text(encoding="utf-8")
WALKS = walks(PAGE)
MODEL_SERVER = 8900
_INHERITED = re.compile(r"HOME|TMPDIR|XDG_\w+|PIP_\w+|SSL_CERT_\w+|\w+_PROXY|\w+_proxy")


def settings(folder: Path, ports: Ports, livekit: Path) -> Mapping[str, str]:
    """Returns the environment of a reader who starts afresh, and whose usual ports are taken."""
    inherited = {name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)}
    return {
        **inherited,
        "NO_PROXY": "127.0.0.1,localhost",
        "PATH": os.pathsep.join([str(livekit.parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder),  # .venv is another checkout's where several share one
        "ARGS": "--no-setup",  # of make demo: set-up was made for the tests
        "DATABASE_URL": f"sqlite:///{folder}/patchbay.sqlite3",
        "ENCRYPTION_KEY_FILE": str(folder / "master.key"),
        "ADMIN_KEY_FILE": str(folder / "admin.key"),
        "LIVEKIT_RTC_TCP_PORT": str(another_port(ports)),
        "LIVEKIT_RTC_UDP_PORT_START": str(ports.livekit_udp_port),
        **{name.upper(): str(port) for name, port in vars(ports).items()},
    }


FIRST = ("1", "2", "5")
"""Walks that everybody takes, with the router alone; `make test-voice` takes the others as well."""


def another_port(ports: Ports) -> int:
    """Returns a free port that is none of those: they are free as well until the demo listens."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port not in vars(ports).values():
            return port


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(steps, id=title, marks=[] if title[0] in FIRST else pytest.mark.thorough)
        for title, steps in WALKS.items()
    ],
)
async def test_a_walk_leads_where_the_page_says(steps: list[Step], tmp_path: Path) -> None:
    livekit, ports = build_programs(), free_ports()
    here = {
        Ports().http_port: ports.http_port,
        Ports().livekit_port: ports.livekit_port,
        MODEL_SERVER: another_port(ports),
    }
    async with walking(tmp_path, settings(tmp_path, ports, livekit), here) as walk:
        for step in steps:
            await walk.take(step)


def test_every_command_and_question_of_the_page_is_part_of_a_walk() -> None:
    steps = [step for walk in WALKS.values() for step in walk]
    typed = [c for step in steps if isinstance(step, Terminal) for c in step.commands]
    assert len(typed) == len(re.findall(r"^\$ ", PAGE, re.MULTILINE))
    asked = [step for step in steps if isinstance(step, Question)]
    assert len(asked) == len(re.findall(r"\bOpen <http", PAGE))
    blocks = [step for step in steps if not isinstance(step, Question)]
    assert 2 * len(blocks) == PAGE.count("```")


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_shows_that_it_has_arrived(title: str) -> None:
    last = [s for s in WALKS[title] if isinstance(s, Question | Shown | Terminal)][-1]
    assert not isinstance(last, Terminal) or last.commands[-1].shown or len(WALKS[title]) > 1
