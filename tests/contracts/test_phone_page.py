"""The route that shows the telephone's file: numbers, hours, who answers now, and no password."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from agent.phone.routes import phone_router
from agent.phone.setup_file import PhoneFile
from llm_router.clock import SystemClock
from llm_router.connections.access import Actor, Role
from llm_router.gateway.deps import get_actor
from llm_router.gateway.errors import answer_with_problems

FILE = """
[[trunks]]
name = "carrier"
allowed_addresses = ["203.0.113.0/24"]
other_numbers = "default"
address = "sip.example.com"
username = "shop"
password = "${CARRIER_PASSWORD}"

[[numbers]]
number = "+49 30 123456"
assistant = "tea-shop"
hours = "shop"

[hours.shop]
timezone = "Europe/Berlin"
monday = ["9:00-12:30", "14:00-18:00"]
holidays = ["12-25"]
special = { "12-24" = ["9:00-12:00"] }

[outbound]
trunk = "carrier"
caller_id = "+49 30 123456"
allowed_prefixes = ["+49"]

[[people]]
name = "Mara"
number = "+49 30 123457"
"""
SECRET = "a-password-of-the-carrier"


class At(SystemClock):
    """A clock that shows one time of Monday, 1 June 2026 (UTC)."""

    def __init__(self, hour: int) -> None:
        self._at = datetime(2026, 6, 1, hour, tzinfo=UTC).timestamp()

    def wall(self) -> float:
        return self._at


async def read(folder: Path, text: str, *, hour: int = 8, role: Role = "admin") -> httpx2.Response:
    """Asks for the file as it is at that hour (UTC)."""
    file = folder / "phone.toml"
    file.write_text(text)
    app = FastAPI()
    answer_with_problems(app)
    phone = PhoneFile(file, {"CARRIER_PASSWORD": SECRET})
    app.include_router(phone_router(phone, At(hour)))
    app.dependency_overrides[get_actor] = lambda: Actor("ann", role)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://patchbay.test") as client:
        return await client.get("/api/phone")


@pytest.mark.parametrize(
    ("hour", "is_open", "answers"), [(8, True, "tea-shop"), (11, False, "voicemail")]
)
async def test_a_number_says_who_answers_it_now(
    tmp_path: Path, hour: int, is_open: bool, answers: str
) -> None:
    answer = await read(tmp_path, FILE, hour=hour)
    assert SECRET not in answer.text
    phone: dict[str, Any] = answer.json()
    [number] = phone["numbers"]
    assert (number["is_open"], number["answers_now"]) == (is_open, answers)
    assert (number["number"], number["trunk"], number["hours"]) == (
        "+4930123456", "carrier", "shop",
    )  # fmt: skip
    assert phone["other_numbers"] == {"trunk": "carrier", "assistant": "default"}
    assert phone["hours"]["shop"]["monday"] == ["9:00-12:30", "14:00-18:00"]
    assert phone["hours"]["shop"]["special"] == {"12-24": ["9:00-12:00"]}
    assert phone["outbound"]["allowed_prefixes"] == ["+49"]
    assert [person["name"] for person in phone["people"]] == ["Mara"]


async def test_a_fault_is_named_with_its_place(tmp_path: Path) -> None:
    phone = (await read(tmp_path, FILE.replace('"+49 30 123456"', '"49-x"', 1))).json()
    assert "number" in phone["fault"]
    assert phone["numbers"] == []


@pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
async def test_the_telephone_is_for_admins(tmp_path: Path, role: Role) -> None:
    assert (await read(tmp_path, FILE, role=role)).status_code == 403
