"""Serves the telephone's file to those who change it: `/api/phone/file`. For admins."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from agent.phone.file_versions import FileVersions, time_of, version_of
from agent.phone.routes import PhoneRead
from llm_router.clock import Clock, utc_now
from llm_router.connections.access import Actor
from llm_router.connections.rules import require_administrator
from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.base import StrictModel
from llm_router.store import audit
from llm_router.voice.phone.setup_file import read_phone, shown_variables

_SHOWN = 1_000_000
"""Characters of a file that is changed here; a longer one is changed in an editor."""
FileText = Annotated[str, StringConstraints(strip_whitespace=False, max_length=_SHOWN)]


class PhoneFileRead(BaseModel):
    text: str
    version: int = Field(description="Changes with the text; 0: there is no file yet.")
    is_writable: bool = Field(description="Whether this process may change it.")


class PhoneFileCheck(StrictModel):
    text: FileText


class PhoneFileUpdate(StrictModel):
    text: FileText
    version: int = Field(description="That of the text on which the change is based.", ge=0)


class PhoneFileVersion(BaseModel):
    name: str
    until: datetime = Field(description="When another text took its place.")


class PhoneFileVersions(BaseModel):
    items: Sequence[PhoneFileVersion]


class PhoneFileEarlier(BaseModel):
    text: str


def phone_edit_router(file: Path, environ: Mapping[str, str], clock: Clock) -> APIRouter:
    """Makes the routes. They raise ForbiddenError for all but admins."""
    router = APIRouter(prefix="/api/phone", tags=["phone"])
    versions = FileVersions(file)

    def check(text: str) -> PhoneRead:
        """Raises ConfigurationError for a text that is none of a telephone's file.

        What it says is shown, so that it names no further variable but for passwords.
        """
        shown = shown_variables(versions.read().text)
        setup = read_phone(text, file.name, environ, shown)
        return PhoneRead.of(setup, utc_now(clock), file=str(file), fault="")

    @router.get("/file", operation_id="getPhoneFile", responses=problems(422))
    async def get_file(actor: CurrentActor) -> PhoneFileRead:
        """Returns the text of the telephone's file, in which passwords are names of variables."""
        _require(actor)
        found = await asyncio.to_thread(versions.read)
        return PhoneFileRead.model_validate(found, from_attributes=True)

    @router.post("/check", operation_id="checkPhoneFile", responses=problems(422))
    async def check_file(actor: CurrentActor, body: PhoneFileCheck) -> PhoneRead:
        """Returns what the telephone would do with a text; nothing is changed."""
        _require(actor)
        return await asyncio.to_thread(check, body.text)

    @router.put("/file", operation_id="updatePhoneFile", responses=problems(409, 422, 503))
    async def put_file(actor: CurrentActor, deps: Deps, body: PhoneFileUpdate) -> PhoneFileRead:
        """Replaces the file's text, and keeps the one before as a version.

        It is refused (409) if the file was changed since `version`. Who answers, and when, holds
        from the next call on; LiveKit learns of numbers and trunks by `llm-router phone apply`.
        """
        _require(actor)
        await asyncio.to_thread(check, body.text)
        now = utc_now(clock)
        before, after = {"version": body.version}, {"version": version_of(body.text)}
        entry = actor.audit_entry("edit", ("phone", file.name), now, before=before, after=after)
        async with deps.database.writing() as db:  # what is not noted is not written either
            await audit.write(db, [entry])
            written = await asyncio.to_thread(versions.write, body.text, body.version, now)
        return PhoneFileRead.model_validate(written, from_attributes=True)

    @router.get("/versions", operation_id="listPhoneFileVersions")
    async def list_versions(actor: CurrentActor) -> PhoneFileVersions:
        """Lists the earlier versions of the file, the latest first."""
        _require(actor)
        names = await asyncio.to_thread(versions.names)
        found = [PhoneFileVersion(name=name, until=time_of(name)) for name in names]
        return PhoneFileVersions(items=found)

    @router.get("/versions/{name}", operation_id="getPhoneFileVersion", responses=problems(404))
    async def get_version(
        actor: CurrentActor, name: Annotated[str, Field(max_length=64)]
    ) -> PhoneFileEarlier:
        """Returns an earlier text, to be looked at and written again."""
        _require(actor)
        return PhoneFileEarlier(text=await asyncio.to_thread(versions.earlier, name))

    return router


def _require(actor: Actor) -> None:
    require_administrator(actor, "the telephone")
