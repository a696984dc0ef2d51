"""Route that lists the settings which decide how long callers wait, for the console's calls."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.gateway.deps import CurrentActor

WaitPart = Literal["words", "end", "model", "voice", "filler"]
_OWNERS: Mapping[WaitPart, Sequence[str]] = {
    "words": ("stt_engine", "stt_model"),
    "end": (
        "turn_detection",
        "endpointing_min_delay",
        "endpointing_max_delay",
        "vad_min_silence",
        "preemptive_generation",
    ),
    "model": (
        "router_policy",
        "first_word_deadline_min",
        "first_word_deadline_max",
        "hedge_budget",
    ),
    "voice": ("tts_engine", "tts_model", "tts_voice"),
    "filler": ("filler_after",),
}


class WaitSetting(BaseModel):
    """A setting that decides how long callers wait for a part of an answer."""

    name: str = Field(description="Of the environment variable.")
    part: WaitPart = Field(
        description="`words`: until what was said is in writing; `end`: until the turn is decided;"
        " `model`: until the first word; `voice`: until its first sound; `filler`: until a phrase"
        " is said meanwhile."
    )
    value: str = Field(description="In the HTTP process; empty: none.")
    is_default: bool
    about: str


class WaitSettings(BaseModel):
    items: Sequence[WaitSetting]


def waits_router(fields: Mapping[str, FieldInfo], settings: object) -> APIRouter:
    """Makes the route `GET /api/waits`, for admins. `fields` describe those of the settings."""
    router = APIRouter(tags=["calls"])
    found = WaitSettings(
        items=[
            _setting(fields[name], part, name, getattr(settings, name))
            for part, names in _OWNERS.items()
            for name in names
        ]
    )

    @router.get("/api/waits", operation_id="listWaitSettings")
    async def list_waits(
        reader: Annotated[Actor, Depends(_get_reader)],  # noqa: ARG001  its right is checked
    ) -> WaitSettings:
        """Lists the settings that decide how long callers wait. An assistant may have its own."""
        return found

    return router


def _setting(field: FieldInfo, part: WaitPart, name: str, value: object) -> WaitSetting:
    return WaitSetting(
        name=name.upper(),
        part=part,
        value="" if value is None else f"{value:g}" if isinstance(value, float) else str(value),
        is_default=value == field.default,
        about=" ".join((field.description or "").split()),
    )


async def _get_reader(actor: CurrentActor) -> Actor:
    rules.require(actor, "administer")
    return actor
