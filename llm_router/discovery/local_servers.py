"""Tells which model server, if any, answers at an address."""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from llm_router.catalog.servers import SERVERS, api_root
from llm_router.net.guard import AddressGuard, guarded_transport

DEFAULT_ADDRESSES = (
    "http://127.0.0.1:8000",  # vLLM, llama-cpp-python, InstructLab
    "http://127.0.0.1:11434",  # Ollama
    "http://127.0.0.1:8080",  # llama.cpp, TGI, LocalAI
    "http://127.0.0.1:30000",  # SGLang
    "http://127.0.0.1:1234",  # LM Studio
    "http://127.0.0.1:5000",  # text-generation-webui
    "http://127.0.0.1:4000",  # LiteLLM
)
"""Where model servers listen unless told otherwise, in the order they are preferred."""

_LONGEST_ANSWER = 1 << 20  # bytes
_OK = 200

_OWNERS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama_cpp",
    "library": "ollama",
    "me": "llama_cpp_python",
}
"""`owned_by` in the list of models, and the server that says so."""


@dataclass(frozen=True, slots=True)
class _Sign:
    """A path that a server alone answers, and the JSON field to find there (none: any answer),
    with a dot where it is one of the rows of another.

    `with_models`: others answer there, too, so it counts only beside a list of models.
    """

    server: str
    path: str
    field: str = ""
    with_models: bool = False


_SIGNS = (
    _Sign("ollama", "/api/version", "version"),
    _Sign("llama_cpp", "/props", "default_generation_settings"),
    _Sign("tgi", "/info", "model_id"),
    _Sign("lm_studio", "/api/v0/models", "data.state"),
    _Sign("text_generation_webui", "/v1/internal/model/info", "model_name"),
    _Sign("litellm", "/health/liveliness", with_models=True),
    _Sign("localai", "/readyz", with_models=True),
)
_CONTEXTS = ("max_model_len", "context_length", "context_window", "max_context_length")
"""What the rows of a list of models call it: vLLM and SGLang, Together and OpenRouter, Groq,
Mistral."""
_CONTEXT_OF_ALL = {
    "llama_cpp": ("/props", ("default_generation_settings", "n_ctx")),
    "tgi": ("/info", ("max_total_tokens",)),
}
"""Where a server says it of whatever it serves."""
_PATHS = ("/chat/completions", "/v1", "/api")
"""What people give after the root of a server."""


@dataclass(frozen=True, slots=True)
class DetectedServer:
    """A model server that was found. `server` is its row in the catalog; empty: not recognised."""

    base_url: str
    server: str
    models: tuple[str, ...]
    contexts: Mapping[str, int] = field(default_factory=dict)
    """Tokens that a model holds, by its name; under the empty name, those of all others."""

    @property
    def title(self) -> str:
        return SERVERS[self.server or "unknown"].title

    def context_length(self, model: str) -> int | None:
        """None: the server does not say."""
        return self.contexts.get(model) or self.contexts.get("")


async def find_local_servers(addresses: Sequence[str], within: float) -> list[DetectedServer]:
    """The model servers among `addresses` that answer within so many seconds, in that order.

    All are asked at once; no key is sent, and nothing but GET.
    """
    async with httpx2.AsyncClient(
        # Not through a proxy, whatever the environment says: the servers are on this machine.
        trust_env=False,
        # Plain HTTP: the system's certificates need not be read.
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        timeout=within,
    ) as client:
        sightings = await asyncio.gather(*(_looked_at(client, url, within) for url in addresses))
    return [sighting for sighting in sightings if sighting]


async def identify_server(
    base_url: str,
    *,
    api_key: str | None = None,
    guard: AddressGuard | None = None,
    within: float,
) -> DetectedServer | None:
    """The model server at an address, asked with its key; None: none answers in time.

    Nothing but GET is sent, to that address alone. Raises AddressRefusedError where `guard` will
    not have it called.
    """
    headers = {"Authorization": f"Bearer {api_key.strip()}"} if api_key else {}
    async with httpx2.AsyncClient(
        headers=headers,
        transport=guarded_transport(guard) if guard else None,
        timeout=within,
        follow_redirects=False,
    ) as client:
        return await _looked_at(client, base_url, within, needs_models=False)


async def _looked_at(
    client: httpx2.AsyncClient, base_url: str, within: float, *, needs_models: bool = True
) -> DetectedServer | None:
    try:
        async with asyncio.timeout(within):
            return await _look_at(client, base_url, needs_models=needs_models)
    except TimeoutError:
        return None


async def _look_at(
    client: httpx2.AsyncClient, base_url: str, *, needs_models: bool
) -> DetectedServer | None:
    root = server_root(base_url)
    api, _ = api_root(base_url if urlsplit(base_url).path else root, SERVERS["unknown"])
    rows = _rows(await _answer(client, f"{api}/models"))
    if rows is None and needs_models:
        return None
    server = _owner(rows or ()) or await _by_signs(client, root, listed=rows is not None)
    if rows is None and not server:
        return None
    contexts = _contexts(rows or ())
    if server in _CONTEXT_OF_ALL:
        path, names = _CONTEXT_OF_ALL[server]
        if tokens := _deep(await _answer(client, root + path), names):
            contexts[""] = tokens
    models = (row.get("id") for row in rows or () if isinstance(row, Mapping))
    return DetectedServer(
        f"{root}/v1", server, tuple(m for m in models if isinstance(m, str) and m), contexts
    )


def server_root(base_url: str) -> str:
    """The address of the server itself, whose own routes stand beside the API's."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    for end in _PATHS:
        path = path.removesuffix(end)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _rows(listed: Any) -> Sequence[Any] | None:
    """The rows of a list of models; None for what is none."""
    if not isinstance(listed, Mapping) or "data" not in listed:
        return None
    rows = listed["data"] or []  # null: Ollama without a model
    return rows if isinstance(rows, list) else None


def _owner(rows: Sequence[Any]) -> str:
    owners = (row.get("owned_by") for row in rows if isinstance(row, Mapping))
    return next((_OWNERS[o] for o in owners if isinstance(o, str) and o in _OWNERS), "")


def _contexts(rows: Sequence[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if isinstance(row, Mapping) and isinstance(name := row.get("id"), str):
            told = (row.get(field) for field in _CONTEXTS)
            if tokens := next((t for t in told if isinstance(t, int) and t > 0), None):
                found[name] = tokens
    return found


def _deep(said: Any, names: Sequence[str]) -> int | None:
    for name in names:
        said = said.get(name) if isinstance(said, Mapping) else None
    return said if isinstance(said, int) and said > 0 else None


async def _by_signs(client: httpx2.AsyncClient, root: str, *, listed: bool) -> str:
    signs = [sign for sign in _SIGNS if listed or not sign.with_models]
    answers = await asyncio.gather(*(_answer(client, root + sign.path) for sign in signs))
    for sign, answer in zip(signs, answers, strict=True):
        if _holds(answer, sign.field):
            return sign.server
    return ""


def _holds(answer: Any, field: str) -> bool:
    if not field:
        # Not what a web page answers at every path.
        is_page = isinstance(answer, str) and answer.lstrip().startswith("<")
        return answer is not None and not is_page
    name, _, of_a_row = field.partition(".")
    if not isinstance(answer, Mapping) or name not in answer:
        return False
    rows = answer[name]
    return not of_a_row or (
        isinstance(rows, list) and any(isinstance(r, Mapping) and of_a_row in r for r in rows)
    )


async def _answer(client: httpx2.AsyncClient, url: str) -> Any:
    """The JSON, or failing that the text, of a 200; None for anything else."""
    try:
        async with client.stream("GET", url) as response:
            if response.status_code != _OK:
                return None
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _LONGEST_ANSWER:
                    return None
    except (httpx2.HTTPError, OSError):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
