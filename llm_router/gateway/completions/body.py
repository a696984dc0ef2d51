"""Reads the body of a request below /v1 into its schema. Pure."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Never, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from llm_router.connections.json_shape import is_within
from llm_router.gateway.completions.call import Call, ReplyForm
from llm_router.gateway.completions.problems import ChatProblem, invalid
from llm_router.providers._wire.characters import mend
from llm_router.types import ChatRequest

_MOST_MARKS = 100_000
"""Commas and opening brackets of a body, each of which may begin a value: what is parsed holds up
all other requests."""
_MOST_VALUES = 50_000
_MOST_LEVELS = 64
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

Body = TypeVar("Body", bound=BaseModel)


class ReplyFields(Protocol):
    """The fields that a request for a reply has in every form of the API."""

    model: str
    stream: bool | None
    patchbay: dict[str, Any] | None


def read_body(body: bytes, schema: type[Body]) -> Body:
    """Returns the body as `schema`. Raises ChatProblem (400), naming the first field at fault."""
    value = _parsed(body)
    if not isinstance(value, dict):
        raise ChatProblem(400, "invalid_value", "the body must be an object")
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        first = _telling(error)
        place = str(first["loc"][0]) if first["loc"] else "body"
        code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
        raise invalid(place, first["msg"], code) from None


def _telling(error: ValidationError) -> Mapping[str, Any]:
    """Returns the fault of the first field at fault that says most.

    A field of several types has a fault for each of them: that of the type which was sent is the
    one that is not about the type.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    of_field = [fault for fault in faults if fault["loc"][:1] == faults[0]["loc"][:1]]
    return next((f for f in of_field if not f["type"].endswith("_type")), of_field[0])


def call_of(fields: ReplyFields, request: ChatRequest, form: ReplyForm) -> Call:
    return Call(
        model=fields.model,
        request=request,
        form=form,
        is_streamed=bool(fields.stream),
        include_receipt=is_set(fields.patchbay, "receipt"),
    )


def session_of(key_id: str, name: Any) -> str:
    """Returns a pseudonym of the client's own session, whose endpoint has its prompt in a cache.

    `key_id` tells apart sessions of API keys that have the same name. Empty if there is no name.
    """
    if not (isinstance(name, str) and name):
        return ""
    return "v1-" + hashlib.sha256(f"{key_id} {name}".encode()).hexdigest()[:24]


def is_set(options: Mapping[str, Any] | None, name: str) -> bool:
    return options is not None and options.get(name) is True


def _parsed(body: bytes) -> Any:
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_MARKS:
        raise _too_many_values()
    try:
        # As UTF-8 alone: from other encodings, halves of characters would come in unnoticed.
        text = body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise _too_many_values() from None
    except ValueError:
        raise ChatProblem(400, "invalid_json", "the body is not JSON") from None
    if not is_within(value, values=_MOST_VALUES, levels=_MOST_LEVELS):
        raise _too_many_values()
    return _mended(value) if _LONE_SURROGATE.search(body) else value


def _no_constant(name: str) -> Never:
    raise ValueError(name)  # NaN and Infinity, which are no JSON


def _finite(text: str) -> float:
    """Returns the number, which no server and no client could be sent if it were infinite."""
    if math.isinf(value := float(text)):
        raise ChatProblem(400, "invalid_value", "a number in it is too large")
    return value


def _too_many_values() -> ChatProblem:
    return ChatProblem(
        400,
        "body_too_complex",
        f"the body must hold at most {_MOST_VALUES:,} values in {_MOST_LEVELS} levels",
    )


def _mended(value: Any) -> Any:
    """Returns the value with halves of characters replaced, which no server could be sent."""
    if isinstance(value, str):
        return mend(value)
    if isinstance(value, list):
        return [_mended(each) for each in value]
    if isinstance(value, dict):
        return {mend(name): _mended(each) for name, each in value.items()}
    return value
