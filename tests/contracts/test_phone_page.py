"""The route that shows the telephone's file: numbers, hours, who answers now, and no password."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from agent.phone.edit_routes import phone_edit_router
from agent.phone.file_versions import MOST_VERSIONS, FileVersions, version_of
from agent.phone.routes import phone_router
from agent.phone.setup_file import PhoneFile
from llm_router.clock import SystemClock
from llm_router.connections.access import Actor, Role
from llm_router.errors import ConfigurationError
from llm_router.gateway.deps import get_actor
from llm_router.gateway.errors import answer_with_problems
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on

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


# ── Changes of the file ──────────────────────────────────────────────────────────────────────────


KEY_OF_LIVEKIT = "the-secret-of-livekit"


@asynccontextmanager
async def editing(files: Files, file: Path) -> AsyncIterator[Gateway]:
    environ = {"LIVEKIT_API_SECRET": KEY_OF_LIVEKIT, "ABOUT_MARA": "Repairs"}
    async with gateway_on(await files.new()) as gateway:
        gateway.app.include_router(phone_edit_router(file, environ, At(8)))
        yield gateway


async def test_a_change_is_previewed_written_and_undone_from_a_version(
    files: Files, tmp_path: Path
) -> None:
    file = tmp_path / "phone.toml"
    file.write_text(FILE)
    changed = f"# Café\n{FILE.replace('tea-shop', 'coffee-shop')}"
    async with editing(files, file) as gateway:
        before = (await gateway.call("admin", "GET", "/phone/file")).json()
        assert (before["text"], before["is_writable"]) == (FILE, True)
        preview = (await gateway.call("admin", "POST", "/phone/check", {"text": changed})).json()
        assert preview["numbers"][0]["answers_now"] == "coffee-shop"
        assert file.read_text() == FILE
        body = {"text": changed, "version": before["version"]}
        written = (await gateway.call("admin", "PUT", "/phone/file", body)).json()
        assert file.read_text() == written["text"] == changed
        [version] = (await gateway.call("admin", "GET", "/phone/versions")).json()["items"]
        path = f"/phone/versions/{version['name']}"
        assert (await gateway.call("admin", "GET", path)).json()["text"] == FILE
        # Somebody else began with the text before.
        stale = await gateway.call("admin", "PUT", "/phone/file", {**body, "text": FILE})
        assert (stale.status_code, stale.json()["type"]) == (409, "/problems/stale-version")
        assert file.read_text() == changed
        missing = await gateway.call("admin", "GET", "/phone/versions/..%2Fphone.toml")
        assert missing.status_code == 404
        [entry, *_] = (await gateway.call("admin", "GET", "/audit")).json()["items"]
        assert (entry["action"], entry["kind"]) == ("edit", "phone")


async def test_a_text_with_a_fault_is_never_written(files: Files, tmp_path: Path) -> None:
    file = tmp_path / "phone.toml"
    async with editing(files, file) as gateway:
        for text, said in (
            (FILE.replace('"+49 30 123456"', '"49-x"', 1), "number"),
            (FILE.replace('"${CARRIER_PASSWORD}"', f'"{SECRET}"'), "password"),
            ("[[numbers", "TOML"),
        ):
            for method, path, more in (
                ("POST", "/phone/check", {}),
                ("PUT", "/phone/file", {"version": 0}),
            ):
                refused = await gateway.call("admin", method, path, {"text": text, **more})
                assert refused.status_code == 422
                assert said in refused.json()["detail"]
                assert SECRET not in refused.text
        assert not file.exists()
        made = await gateway.call("admin", "PUT", "/phone/file", {"text": "", "version": 0})
        assert made.status_code == 200
        assert file.exists()


async def test_a_variable_outside_of_passwords_is_shown_only_if_the_file_names_it(
    files: Files, tmp_path: Path
) -> None:
    file = tmp_path / "phone.toml"
    file.write_text(f'{FILE}about = "${{ABOUT_MARA}}"\n')
    async with editing(files, file) as gateway:
        version = (await gateway.call("admin", "GET", "/phone/file")).json()["version"]
        for text in (
            f'{FILE}about = "${{LIVEKIT_API_SECRET}}"\n',
            f'{FILE}about = " ${{CARRIER_PASSWORD}} "\n',  # named for a password alone
        ):
            for method, path, more in (
                ("POST", "/phone/check", {}),
                ("PUT", "/phone/file", {"version": version}),
            ):
                refused = await gateway.call("admin", method, path, {"text": text, **more})
                assert refused.status_code == 422
                assert KEY_OF_LIVEKIT not in refused.text
                said = refused.json()["detail"]
                assert '[[people]] 1 "Mara": about: a variable may be named here' in said
        moved = file.read_text().replace("Mara", "Tom")
        body = {"text": moved, "version": version}
        assert (await gateway.call("admin", "PUT", "/phone/file", body)).status_code == 200
        [person] = (await gateway.call("admin", "POST", "/phone/check", {"text": moved})).json()[
            "people"
        ]
        assert (person["name"], person["about"]) == ("Tom", "Repairs")


async def test_neither_the_file_nor_the_audit_log_changes_without_the_other(
    files: Files, tmp_path: Path
) -> None:
    file = tmp_path / "phone.toml"
    file.write_text("")
    async with editing(files, file) as gateway:

        async def put() -> int:
            body = {"text": FILE, "version": version_of("")}
            return (await gateway.call("admin", "PUT", "/phone/file", body)).status_code

        (tmp_path / "phone.toml.versions").write_text("not a folder")
        assert await put() == 422
        noted = (await gateway.call("admin", "GET", "/audit")).json()["items"]
        assert "phone" not in {entry["kind"] for entry in noted}
        (tmp_path / "phone.toml.versions").unlink()
        async with gateway.services.database.writing() as db:
            await db.exec_driver_sql("ALTER TABLE audit_log RENAME TO no_audit_log")
        assert await put() == 503
        assert file.read_text() == ""


@pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
async def test_only_admins_change_the_telephone(files: Files, tmp_path: Path, role: Role) -> None:
    async with editing(files, tmp_path / "phone.toml") as gateway:
        for method, path, body in (
            ("GET", "/phone/file", None),
            ("POST", "/phone/check", {"text": ""}),
            ("PUT", "/phone/file", {"text": "", "version": 0}),
            ("GET", "/phone/versions", None),
            ("GET", "/phone/versions/x", None),
        ):
            assert (await gateway.call(role, method, path, body)).status_code == 403


def test_a_file_that_cannot_be_replaced_says_so_and_stays(tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    versions = FileVersions(blocked / "phone.toml")
    with pytest.raises(ConfigurationError, match="cannot be"):
        versions.write("", 0, datetime(2026, 6, 1, tzinfo=UTC))


def test_so_many_earlier_texts_stay_and_so_do_the_rights(tmp_path: Path) -> None:
    file = tmp_path / "phone.toml"
    versions = FileVersions(file)
    version = versions.write("# first", 0, datetime(2026, 6, 1, tzinfo=UTC)).version
    file.chmod(0o640)
    for number in range(MOST_VERSIONS + 3):
        at = datetime(2026, 6, 1, 1, number, tzinfo=UTC)
        version = versions.write(f"# {number}", version, at).version
    names = versions.names()
    assert len(names) == MOST_VERSIONS
    assert versions.earlier(names[0]) == f"# {MOST_VERSIONS + 1}"
    assert file.stat().st_mode & 0o777 == 0o640
    copies = [each for each in (tmp_path / "phone.toml.versions").iterdir() if each.name in names]
    assert {each.stat().st_mode & 0o777 for each in copies} == {0o640}


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "elsewhere" / "phone.toml", tmp_path / "phone.toml"
    file.write_text("# one\r\n", newline="")
    link.symlink_to(file)
    versions = FileVersions(link)
    versions.write("# two", versions.read().version, datetime(2026, 6, 1, tzinfo=UTC))
    assert link.is_symlink()
    assert file.read_text() == "# two"
    [name] = versions.names()
    assert versions.earlier(name) == "# one\r\n"
