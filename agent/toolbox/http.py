"""Runs HTTP requests as tools: guarded, bounded, and once where they change something."""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx2

from agent.toolbox.arguments import ArgumentCheck
from agent.toolbox.effects import Effects, NotDoneError
from agent.toolbox.errors import ToolError
from agent.toolbox.secrets import Secrets
from agent.toolbox.tool import DeclaredTool
from llm_router.errors import AddressRefusedError, UnreachableError
from llm_router.net.bodies import ASK_FOR_PLAIN, read_body
from llm_router.net.environment import tls_context
from llm_router.net.guard import AddressGuard
from llm_router.net.transports import EnvironmentTransport
from llm_router.voice.tools import HttpTool, plain

_MAX_ARGUMENTS = 20_000
"""Characters of a call's arguments; more is a model that has lost its thread."""
_MAX_BODY = 256 * 1024
"""Bytes of an answer that are read; of those, the model gets `answer_characters`."""
_TEXT = ("text/", "application/json", "application/xml", "application/problem+json")
_NOT_SENT = (
    httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)  # fmt: skip
"""Failures before a byte of the request was sent."""
_logger = logging.getLogger("patchbay.tools")


class HttpTools:
    """Makes and runs the HTTP tools of one call, over one client. Close it at the end."""

    def __init__(
        self, guard: AddressGuard, effects: Effects, secrets: Secrets | None = None
    ) -> None:
        self._effects = effects
        self._secrets = secrets or Secrets()
        self._checks: dict[str, ArgumentCheck] = {}
        self._client = httpx2.AsyncClient(
            transport=EnvironmentTransport(guard),
            timeout=None,  # each tool has its own, for all of the exchange
            trust_env=False,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    def tool(self, declared: HttpTool) -> DeclaredTool:
        """Makes the tool that a model may call."""
        if not declared.changes:
            self._effects.only_reads(declared.name)
        return DeclaredTool(
            id=declared.name,
            description=declared.description,
            parameters=_parameters(declared),
            run=partial(self.run, declared),
        )

    async def run(self, declared: HttpTool, arguments: Mapping[str, Any]) -> str:
        """Sends the request, and returns the answer's text for the model.

        Raises ToolError with one line for the model, which holds no address and no secret.
        """
        if len(json.dumps(arguments, default=str)) > _MAX_ARGUMENTS:
            raise ToolError("the arguments are too long")
        if declared.name not in self._checks:
            self._checks[declared.name] = ArgumentCheck(declared.name, _parameters(declared))
        await self._checks[declared.name].require(arguments)
        self._secrets.require(arguments)
        if not declared.changes:
            return await self._send(declared, arguments, {})

        async def send(key: str) -> str:
            return await self._send(declared, arguments, {"Idempotency-Key": key})

        return await self._effects.once(declared.name, arguments, send)

    async def _send(
        self, declared: HttpTool, arguments: Mapping[str, Any], more: Mapping[str, str]
    ) -> str:
        name = declared.name
        with suppress(UnreachableError):  # raised again by the request if it needs it
            await asyncio.to_thread(tls_context)  # takes tens of milliseconds
        try:
            request = self._request(declared, self._secrets.reveal(arguments), more)
            async with asyncio.timeout(declared.timeout):
                answer = await self._client.send(request, stream=True)
                try:
                    return await _text(declared, answer, self._secrets)
                finally:
                    await answer.aclose()
        except AddressRefusedError as refused:
            _logger.warning("tool %s: %s", name, refused)
            raise NotDoneError("its address may not be called") from None
        except _NOT_SENT as error:
            _logger.warning("tool %s cannot be reached (%s)", name, type(error).__name__)
            raise NotDoneError("it cannot be reached at the moment") from None
        except TimeoutError:
            _logger.warning("tool %s gave no answer within %g s", name, declared.timeout)
            raise ToolError(f"no answer within {declared.timeout:g} s") from None
        except httpx2.HTTPError as error:
            _logger.warning("tool %s: the answer broke off (%s)", name, type(error).__name__)
            raise ToolError("the answer broke off") from None

    def _request(
        self, declared: HttpTool, arguments: Mapping[str, Any], more: Mapping[str, str]
    ) -> httpx2.Request:
        others = declared.others(arguments)
        headers = {**declared.headers, **ASK_FOR_PLAIN, **more}
        url = httpx2.URL(declared.address(arguments))
        if declared.method == "GET":
            for key, value in others.items():
                for item in value if isinstance(value, list) else [value]:
                    url = url.copy_add_param(key, plain(item))
            return self._client.build_request("GET", url, headers=headers)
        return self._client.build_request(declared.method, url, headers=headers, json=dict(others))


def _parameters(declared: HttpTool) -> Mapping[str, Any]:
    return {"type": "object", "properties": {}, **declared.parameters}


async def _text(declared: HttpTool, answer: httpx2.Response, secrets: Secrets) -> str:
    """Returns the text of a good answer, cut to the size that the model gets."""
    _check_status(declared, answer.status_code)
    body = await read_body(answer, _MAX_BODY)
    kind = answer.headers.get("content-type", "text/plain").lower()
    if not kind.startswith(_TEXT) and "+json" not in kind:
        return (
            "It is done; the answer is no text." if declared.changes else "The answer is no text."
        )
    text = secrets.hide(_compact(body.decode(errors="replace"))) or "Done: the answer is empty."
    most = declared.answer_characters
    return text if len(text) <= most else f"{text[:most]}… (the rest is left out)"


def _check_status(declared: HttpTool, status: int) -> None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    said = f"HTTP {status}"
    with suppress(ValueError):
        said += f" ({HTTPStatus(status).phrase.lower()})"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ToolError(f"it failed with {said}")
    if status < HTTPStatus.BAD_REQUEST:
        _logger.warning(
            "tool %s: redirects are not followed; give the final address", declared.name
        )
        raise ToolError("its address leads elsewhere, which is not followed")
    raise NotDoneError(f"it was refused with {said}")


def _compact(text: str) -> str:
    """Returns JSON without its white space, and any other text with single blanks."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(text.replace("\0", "").split())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
