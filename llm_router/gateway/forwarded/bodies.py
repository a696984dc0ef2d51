"""Reads the bodies of requests that are passed on, and makes those that are sent."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from llm_router.gateway.completions.body import read_body
from llm_router.gateway.completions.problems import ChatProblem, invalid
from llm_router.gateway.completions.request import passed_on
from llm_router.gateway.errors import Problem
from llm_router.gateway.schemas.forwarded import EmbeddingCreate, SpeechCreate
from llm_router.providers.base import Body

_LONGEST_NAME = 300
_MOST_FIELDS = 50
_CHARACTERS_PER_TOKEN = 4
"""Of an input that comes as tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardCall:
    """A request as its client sent it. `characters`: of text in it."""

    model: str
    body_for: Callable[[str], Body]
    characters: int = 0


async def read_embeddings(request: Request) -> ForwardCall:
    """Reads a request for embeddings. Raises ChatProblem (400), naming the field at fault."""
    fields = read_body(await request.body(), EmbeddingCreate)
    return _json_call(fields, fields.model, _characters(fields.input))


async def read_speech(request: Request) -> ForwardCall:
    """Reads a request for speech. Raises ChatProblem (400), naming the field at fault."""
    fields = read_body(await request.body(), SpeechCreate)
    return _json_call(fields, fields.model, len(fields.input))


async def read_transcription(request: Request) -> ForwardCall:
    """Reads a form with a recording. Raises ChatProblem (400), naming the field at fault."""
    try:
        async with request.form(max_files=1, max_fields=_MOST_FIELDS) as form:
            return await _transcription(form)
    except Problem:
        raise
    except HTTPException as error:
        raise ChatProblem(400, "invalid_form", f"the body is no form: {error.detail}") from None


async def _transcription(form: FormData) -> ForwardCall:
    upload, model = form.get("file"), form.get("model")
    if not isinstance(upload, UploadFile):
        raise invalid("file", "is missing", "missing_required_parameter")
    if not isinstance(model, str) or not 0 < len(model) <= _LONGEST_NAME:
        raise invalid("model", "is missing, or too long", "missing_required_parameter")
    names = passed_on(dict.fromkeys(form.keys(), True), None).keys() - {"file", "model"}
    texts = {name: [v for v in form.getlist(name) if isinstance(v, str)] for name in names}
    kind = upload.content_type or "application/octet-stream"
    file = (upload.filename or "recording", await upload.read(), kind)

    def body_for(name: str) -> Body:
        fields = {**texts, "model": [name or model]}
        made = httpx2.Request("POST", "http://_", data=fields, files={"file": file})
        return Body(made.read(), made.headers["content-type"])

    return ForwardCall(model=model, body_for=body_for)


def _json_call(fields: BaseModel, model: str, characters: int) -> ForwardCall:
    given = passed_on(fields.model_dump(exclude_unset=True), None)

    def body_for(name: str) -> Body:
        return Body(json.dumps({**given, "model": name or model}).encode(), "application/json")

    return ForwardCall(model=model, body_for=body_for, characters=characters)


def _characters(given: str | Sequence[Any]) -> int:
    """Counts the characters of texts, and estimates those of tokens."""
    if isinstance(given, str):
        return len(given)
    return sum(
        _CHARACTERS_PER_TOKEN if isinstance(each, int) else _characters(each) for each in given
    )
