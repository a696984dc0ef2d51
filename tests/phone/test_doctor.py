"""`phone doctor` over real SIP: a telephone that is well, and each part that is broken."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.phone.doctor import Doctor, check_phone
from agent.phone.setup_file import load_phone
from llm_router.cli.check import Finding
from llm_router.clock import SystemClock
from llm_router.voice.phone.setup import PhoneSetup, SipService
from tests.phone.stack import LINE, PhoneStack

PARTS = [
    "file", "Redis", "SIP process", "LiveKit", "trunks and rules", "worker", "matching rule",
    "opening hours", "SIP port", "answer", "codec", "sound to the caller", "sound to the agent",
]  # fmt: skip
"""Parts that are checked, in the order in which a call needs them."""
NOWHERE = "127.0.0.1:9"


def service_of(stack: PhoneStack) -> SipService:
    ports = stack.voice.ports
    return SipService(
        address=stack.sip_address,
        health=f"http://127.0.0.1:{ports.sip_health_port}",
        redis=f"127.0.0.1:{ports.redis_port}",
    )


def doctor_of(stack: PhoneStack) -> Doctor:
    setup = load_phone(Path(stack.voice.settings["PHONE_FILE"]), stack.voice.settings)
    livekit = stack.voice.livekit

    async def has_worker() -> bool:
        return True

    return Doctor(
        setup=setup.model_copy(update={"service": service_of(stack)}),
        url=livekit.url,
        api_key=livekit.key,
        api_secret=livekit.secret,
        agent_name=stack.voice.settings["AGENT_NAME"],
        has_worker=has_worker,
        clock=SystemClock(),
        called=LINE,
    )


def file_with_service(stack: PhoneStack, folder: Path) -> Path:
    """Writes the stack's file with the addresses of its parts."""
    file = folder / "phone.toml"
    service = service_of(stack)
    lines = [f'{name} = "{value}"' for name, value in service.model_dump().items()]
    before = Path(stack.voice.settings["PHONE_FILE"]).read_text(encoding="utf-8")
    file.write_text("\n".join([before, "[service]", *lines]), encoding="utf-8")
    return file


async def examine(stack: PhoneStack, folder: Path) -> tuple[int, list[dict[str, Any]]]:
    """Runs the command beside the stack; returns its exit code and its findings."""
    file = file_with_service(stack, folder)
    environ = {**os.environ, **stack.voice.settings, "PHONE_FILE": str(file)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llm_router.cli", "phone", "doctor", "--called", LINE, "--json",
        env=environ, cwd=folder, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, json.loads(out)


async def test_a_telephone_that_is_well_has_sound_both_ways(
    stack: PhoneStack, tmp_path: Path
) -> None:
    code, findings = await examine(stack, tmp_path)
    states = {each["subject"]: each["state"] for each in findings}
    assert [*states] == PARTS, findings
    # Trunks of other tests differ from the file; a busy machine answers late.
    states.pop("trunks and rules"), states.pop("answer")
    assert {*states.values()} == {"ok"}, findings
    assert code in {0, 1}
    said = {each["subject"]: each["message"] for each in findings}
    assert "by rule open/default" in said["matching rule"]
    assert "after the answer" in said["sound to the caller"]


def elsewhere(setup: PhoneSetup, **changes: str) -> PhoneSetup:
    return setup.model_copy(update={"service": setup.service.model_copy(update=changes)})


async def first_fault(doctor: Doctor) -> Finding:
    async for finding in check_phone(doctor):
        if finding.state == "fault" and finding.subject != "trunks and rules":
            return finding
    raise AssertionError("no fault is found")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("breaks", "subject", "says"),
    [
        (lambda d: {"setup": elsewhere(d.setup, redis=NOWHERE)}, "Redis", "start it"),
        (
            lambda d: {"setup": elsewhere(d.setup, health=f"http://{NOWHERE}")},
            "SIP process",
            "start livekit-sip",
        ),
        (lambda d: {"setup": elsewhere(d.setup, address=NOWHERE)}, "SIP port", "correct"),
        (lambda _: {"url": f"ws://{NOWHERE}"}, "LiveKit", "LIVEKIT_URL"),
        (lambda _: {"api_secret": "x" * 32}, "LiveKit", "LIVEKIT_API_SECRET"),
        (lambda _: {"called": "+15559999"}, "matching rule", "LiveKit drops it"),
    ],
)
async def test_the_part_that_is_broken_is_named_first(
    stack: PhoneStack, breaks: Callable[[Doctor], dict[str, Any]], subject: str, says: str
) -> None:
    doctor = doctor_of(stack)
    fault = await first_fault(replace(doctor, **breaks(doctor)))
    assert fault.subject == subject
    assert says in fault.message


@pytest.mark.thorough
async def test_a_telephone_without_a_worker_is_called_and_says_that_no_agent_answers(
    stack: PhoneStack,
) -> None:
    async def has_worker() -> bool:
        return False

    fault = await first_fault(replace(doctor_of(stack), has_worker=has_worker))
    assert (fault.subject, "agent.worker" in fault.message) == ("worker", True)
