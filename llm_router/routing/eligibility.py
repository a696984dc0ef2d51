"""Decides whether an endpoint may serve a request, by its abilities and by earlier failures."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from llm_router.catalog.prices import estimate_usage
from llm_router.failures import Failure, FailureClass, Lacking
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.reduce import Part, reduce_request
from llm_router.types import ChatRequest

CHARACTERS_PER_TOKEN = 3.0
"""On the safe side for English: a prompt is taken to be a little longer than it is."""

_LIMITING = frozenset(
    {"max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "options"}
)
"""Further fields of a body that may hold a limit of the reply."""


def prompt_characters(request: ChatRequest) -> int:
    """Counts the characters of text in all messages."""
    characters = 0
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, str):
            characters += len(content)
        elif isinstance(content, list):
            characters += sum(len(part.get("text", "")) for part in content)
    return characters


def has_image(request: ChatRequest) -> bool:
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, list) and any(part.get("type") == "image_url" for part in content):
            return True
    return False


def refused_tokens(request: ChatRequest) -> int:
    """Estimates the tokens of a request that was too long."""
    return estimate_usage(prompt_characters(request), 0).prompt_tokens + _tool_tokens(request)


def needed_tokens(request: ChatRequest) -> float:
    """Estimates, on the safe side, the tokens that a request needs without its pictures."""
    return prompt_characters(request) / CHARACTERS_PER_TOKEN + _tool_tokens(request)


def _tool_tokens(request: ChatRequest) -> int:
    tools = [*request.tools]
    written = len(json.dumps(tools, default=str, ensure_ascii=False)) if tools else 0
    return estimate_usage(written, 0).prompt_tokens


def refused_marks(request: ChatRequest, failure: Failure) -> frozenset[int]:
    """Returns the marks of what a server has refused in a request.

    Pictures are not refused where the words alone were too many.
    """
    if failure.context and needed_tokens(request) > failure.context:
        return frozenset()
    return marks_of(request, failure.refuses)


def marks_of(request: ChatRequest, part: Lacking) -> frozenset[int]:
    """Returns what tells the pictures, or the use of tools, of a request from those of others."""
    if part == "images":
        contents = (message.get("content") for message in request.messages)
        parts = chain.from_iterable(c for c in contents if isinstance(c, list))
        return frozenset(_mark(part) for part in parts if part.get("type") == "image_url")
    if part == "tools" and request.tools:
        used = [*request.tools], request.response_format
        return frozenset({hash(json.dumps(used, default=str))})
    return frozenset()


def _mark(picture: Mapping[str, Any]) -> int:
    image = picture.get("image_url")
    return hash(str(image.get("url") if isinstance(image, Mapping) else image))


def is_among(endpoint: Endpoint, request: ChatRequest) -> bool:
    """Returns whether the endpoint is one of those that the request chooses from."""
    return request.among is None or endpoint.name in request.among


def obstacles(endpoint: Endpoint, request: ChatRequest) -> Iterator[str]:
    """Yields each reason for which the endpoint may not be asked at all, the plainest first."""
    connection = endpoint.connection
    if not is_among(endpoint, request):
        yield "not chosen"
    if not connection.is_active:
        yield "not active"
    if connection.serves != "chat":
        yield f"for {connection.serves}"
    if request.integration and not getattr(connection, f"use_in_{request.integration}"):
        yield f"not flagged for {request.integration}"
    if request.pool is not None and connection.pool != request.pool:
        yield f"not in pool {request.pool!r}"


def reductions(endpoint: Endpoint, request: ChatRequest, tokens: float) -> Iterator[Part]:
    """Yields each part of the request, which needs so many tokens, that the endpoint cannot take
    whole.

    Such an endpoint is asked when no other can answer: see `reduce`.
    """
    able, lacks = endpoint.connection.capabilities, endpoint.lacks
    lacks_tools = not able.tools or "tools" in lacks
    if request.tools and (lacks_tools or _refuses(endpoint, request, "tools")):
        yield "tools"
    if request.response_format and (not able.json or "json" in lacks):
        yield "json"
    if has_image(request) and (_lacks_images(endpoint) or _refuses(endpoint, request, "images")):
        yield "images"
    if (context := endpoint.context_length) and tokens > context:
        yield "context"


def _lacks_images(endpoint: Endpoint) -> bool:
    return not endpoint.connection.capabilities.images or "images" in endpoint.lacks


def _refuses(endpoint: Endpoint, request: ChatRequest, part: Lacking) -> bool:
    return bool(endpoint.refused) and not marks_of(request, part).isdisjoint(endpoint.refused)


def fitted(endpoint: Endpoint, request: ChatRequest) -> ChatRequest:
    """Returns the request as far as the endpoint can take it; usually the request itself."""
    context = endpoint.context_length
    parts = [*reductions(endpoint, request, needed_tokens(request) if context else 0)]
    if not parts:
        return request
    context = context or 0
    # Estimates of large tools may exceed a context that has room for them.
    room = max(context - _tool_tokens(request), context // 4) * CHARACTERS_PER_TOKEN
    takes_none = _lacks_images(endpoint)
    return reduce_request(
        request,
        parts,
        characters=room,
        is_left_out=lambda picture: takes_none or _mark(picture) in endpoint.refused,
    )


def bounded(endpoint: Endpoint, request: ChatRequest, tokens: int) -> ChatRequest:
    """Returns a spoken request with a limit of its reply, where nothing else sets one.

    The limit is `tokens` (0: none), or a quarter of a context that is known to be short.
    """
    connection = endpoint.connection
    if not (tokens and request.speech) or request.max_tokens or connection.max_tokens:
        return request
    if not _LIMITING.isdisjoint({*connection.extra_body, *request.extra_body}):
        return request
    if endpoint.context_length:
        tokens = min(tokens, max(1, endpoint.context_length // 4))
    return replace(request, max_tokens=tokens)


def may_ask(
    endpoint: Endpoint, failures: Mapping[Endpoint, Failure], *, move_on_refused_content: bool
) -> bool:
    """Returns whether neither its own failure in this reply nor another's rules it out.

    Its own does unless it may be asked again.
    """
    return not any(
        not failure.may_repeat
        if endpoint is failed
        else (failure.kind is FailureClass.REFUSED_CONTENT and not move_on_refused_content)
        or not may_follow(endpoint, failed, failure)
        for failed, failure in failures.items()
    )


def may_follow(endpoint: Endpoint, failed: Endpoint, failure: Failure) -> bool:
    """Returns whether a failure at one endpoint leaves it sensible to ask another."""
    match failure.consequence.next:
        case "longer context":
            have = endpoint.connection.context_length
            had = failed.connection.context_length
            return have is None or had is None or have > had
        case "another kind":
            is_another = _kind(endpoint) != _kind(failed)
            return is_another or (failure.is_of_the_model and _model(endpoint) != _model(failed))
        case "none":
            return False
    return True


def _kind(endpoint: Endpoint) -> tuple[str, str]:
    connection = endpoint.connection
    return connection.provider, connection.server or urlsplit(connection.base_url).netloc


def _model(endpoint: Endpoint) -> tuple[str, str]:
    connection = endpoint.connection
    return urlsplit(connection.base_url).netloc, connection.model_name
