"""Routes for audio, which are passed on to a connection that serves it."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_router.gateway.deps import CurrentActor, CurrentKey, Deps
from llm_router.gateway.forwarded.answer import forward
from llm_router.gateway.forwarded.bodies import read_speech, read_transcription
from llm_router.gateway.openapi import openai_errors
from llm_router.gateway.schemas.forwarded import SpeechCreate, TranscriptionCreate

router = APIRouter(prefix="/v1/audio", tags=["embeddings and audio"])

_SOUND = {"*/*": {"schema": {"format": "binary"}}}
_WORDS = {"application/json": {"schema": {"type": "object"}}, **_SOUND}
_ERRORS = openai_errors(400, 404, 413, 429, 500, 502, 504)


def _answer(content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    found = {"description": "The answer of the server, as it gives it.", "content": content}
    return {200: found, **_ERRORS}


def _body(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


@router.post(
    "/speech",
    operation_id="createSpeech",
    response_class=Response,
    responses=_answer(_SOUND),
    openapi_extra=_body("application/json", SpeechCreate.model_json_schema()),
)
async def create_speech(
    request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps
) -> Response:
    """Passes the request on to a connection that serves speech; its sound comes as it is made."""
    return await forward(request, actor, key, deps, serves="speech", read=read_speech)


@router.post(
    "/transcriptions",
    operation_id="createTranscription",
    response_class=Response,
    responses=_answer(_WORDS),
    openapi_extra=_body("multipart/form-data", TranscriptionCreate.model_json_schema()),
)
async def create_transcription(
    request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps
) -> Response:
    """Passes a recording of 25 MB at most on to a connection that serves transcriptions."""
    return await forward(
        request, actor, key, deps, serves="transcriptions", read=read_transcription
    )
