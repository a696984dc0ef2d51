"""Identifies the model server at an address, by its list of models and its own routes."""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from llm_router.catalog.servers import SERVERS, api_root
from llm_router.connections.record import bare_key
from llm_router.net.bodies import ASK_FOR_PLAIN, read_body
from llm_router.net.guard import AddressGuard
from llm_router.net.transports import EnvironmentTransport

DEFAULT_ADDRESSES = (
    "http://127.0.0.1:8000",  # vLLM, llama-cpp-python, InstructLab
    "http://127.0.0.1:11434",  # Ollama
    "http://127.0.0.1:8080",  # llama.cpp, TGI, LocalAI
    "http://127.0.0.1:30000",  # SGLang
    "http://127.0.0.1:1234",  # LM Studio
    "http://127.0.0.1:5000",  # text-generation-webui
    "http://127.0.0.1:4000",  # LiteLLM
)
"""Default addresses of model servers, in order of preference."""

_MAX_RESPONSE_SIZE = 1 << 20  # bytes
_OK = 200

_SERVER_BY_OWNER = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama_cpp",
    "library": "ollama",
    "me": "llama_cpp_python",
}
"""Server by the value of `owned_by` in its list of models."""


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    """A route that only one server has, and a JSON field of its response (empty: any response).

    A field "a.b" means field b of a row of the list a. `with_models`: other servers have the route,
    too, so it counts only together with a list of models.
    """

    server: str
    path: str
    field: str = ""
    with_models: bool = False


_FINGERPRINTS = (
    _Fingerprint("ollama", "/api/version", "version"),
    _Fingerprint("llama_cpp", "/props", "default_generation_settings"),
    _Fingerprint("tgi", "/info", "model_id"),
    _Fingerprint("lm_studio", "/api/v0/models", "data.state"),
    _Fingerprint("text_generation_webui", "/v1/internal/model/info", "model_name"),
    _Fingerprint("litellm", "/health/liveliness", with_models=True),
    _Fingerprint("localai", "/readyz", with_models=True),
)
_CONTEXT_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length")
"""Field of the context length in a list of models: of vLLM and SGLang, Together and OpenRouter,
Groq, Mistral."""
_CONTEXT_OF_SERVER = {
    "llama_cpp": ("/props", ("default_generation_settings", "n_ctx")),
    "tgi": ("/info", ("max_total_tokens",)),
}
"""Route and field by which a server states one context length for all of its models."""
_API_PATHS = ("/chat/completions", "/v1", "/api")
"""Ends of an address that belong to the API, not to the root of the server."""


@dataclass(frozen=True, slots=True)
class DetectedServer:
    """A model server that responded. `server` is its row in the catalog; empty: not recognised."""

    base_url: str
    server: str
    models: tuple[str, ...]
    contexts: Mapping[str, int] = field(default_factory=dict)
    """Context length (tokens) by model; the empty name stands for all other models."""

    @property
    def title(self) -> str:
        return SERVERS[self.server or "unknown"].title

    def context_length(self, model: str) -> int | None:
        """Returns the context length of a model (tokens), or None if it is unknown."""
        return self.contexts.get(model) or self.contexts.get("")


async def find_local_servers(addresses: Sequence[str], within: float) -> list[DetectedServer]:
    """Returns the model servers among `addresses`, in that order.

    Requests all addresses at once, without a key and only by GET, and waits up to `within` seconds
    for each.
    """
    async with httpx2.AsyncClient(
        # Without a proxy from the environment: the servers are on this machine.
        trust_env=False,
        # A bare context saves loading the system's certificates: all addresses are plain HTTP.
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        timeout=within,
        headers=ASK_FOR_PLAIN,
    ) as client:
        servers = await asyncio.gather(*(_detect(client, url, within) for url in addresses))
    return [server for server in servers if server]


async def identify_server(
    base_url: str,
    *,
    api_key: str | None = None,
    guard: AddressGuard | None = None,
    within: float,
) -> DetectedServer | None:
    """Returns the model server at an address, or None if none responds within `within` seconds.

    Sends only GET requests, with the key, to that address alone. Raises AddressRefusedError if
    `guard` refuses the address.
    """
    headers = {"Authorization": f"Bearer {key}"} if (key := bare_key(api_key or "")) else {}
    async with httpx2.AsyncClient(
        headers=headers | ASK_FOR_PLAIN,
        transport=EnvironmentTransport(guard),
        timeout=within,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        return await _detect(client, base_url, within, needs_models=False)


async def _detect(
    client: httpx2.AsyncClient, base_url: str, within: float, *, needs_models: bool = True
) -> DetectedServer | None:
    try:
        async with asyncio.timeout(within):
            return await _inspect(client, base_url, needs_models=needs_models)
    except TimeoutError:
        return None


async def _inspect(
    client: httpx2.AsyncClient, base_url: str, *, needs_models: bool
) -> DetectedServer | None:
    root = server_root(base_url)
    api, _ = api_root(base_url if urlsplit(base_url).path else root, SERVERS["unknown"])
    rows = _rows(await _get(client, f"{api}/models"))
    if rows is None and needs_models:
        return None
    server = _owner(rows or ()) or await _match_fingerprints(client, root, listed=rows is not None)
    if rows is None and not server:
        return None
    contexts = _contexts(rows or ())
    if server in _CONTEXT_OF_SERVER:
        path, names = _CONTEXT_OF_SERVER[server]
        if tokens := _nested_int(await _get(client, root + path), names):
            contexts[""] = tokens
    models = (row.get("id") for row in rows or () if isinstance(row, Mapping))
    return DetectedServer(
        f"{root}/v1", server, tuple(m for m in models if isinstance(m, str) and m), contexts
    )


def server_root(base_url: str) -> str:
    """Returns the root address of a server, where its routes outside the API begin."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    for end in _API_PATHS:
        path = path.removesuffix(end)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _rows(listed: Any) -> Sequence[Any] | None:
    """Returns the rows of a list of models, or None if `listed` is not one."""
    if not isinstance(listed, Mapping) or "data" not in listed:
        return None
    rows = listed["data"] or []  # null: Ollama without a model
    return rows if isinstance(rows, list) else None


def _owner(rows: Sequence[Any]) -> str:
    owners = (row.get("owned_by") for row in rows if isinstance(row, Mapping))
    return next(
        (_SERVER_BY_OWNER[o] for o in owners if isinstance(o, str) and o in _SERVER_BY_OWNER), ""
    )


def _contexts(rows: Sequence[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if isinstance(row, Mapping) and isinstance(name := row.get("id"), str):
            values = (row.get(field) for field in _CONTEXT_FIELDS)
            if tokens := next((v for v in values if isinstance(v, int) and v > 0), None):
                found[name] = tokens
    return found


def _nested_int(value: Any, names: Sequence[str]) -> int | None:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) and value > 0 else None


async def _match_fingerprints(client: httpx2.AsyncClient, root: str, *, listed: bool) -> str:
    prints = [one for one in _FINGERPRINTS if listed or not one.with_models]
    answers = await asyncio.gather(*(_get(client, root + one.path) for one in prints))
    for one, answer in zip(prints, answers, strict=True):
        if _holds(answer, one.field):
            return one.server
    return ""


def _holds(answer: Any, field: str) -> bool:
    if not field:
        # A web page may answer at every path, which proves nothing.
        is_page = isinstance(answer, str) and answer.lstrip().startswith("<")
        return answer is not None and not is_page
    name, _, of_a_row = field.partition(".")
    if not isinstance(answer, Mapping) or name not in answer:
        return False
    rows = answer[name]
    return not of_a_row or (
        isinstance(rows, list) and any(isinstance(r, Mapping) and of_a_row in r for r in rows)
    )


async def _get(client: httpx2.AsyncClient, url: str) -> Any:
    """Returns the JSON of a 200 response, or else its text; None for any other result."""
    try:
        async with client.stream("GET", url) as response:
            if response.status_code != _OK:
                return None
            body = await read_body(response, _MAX_RESPONSE_SIZE)
            if len(body) > _MAX_RESPONSE_SIZE:
                return None
    except (httpx2.HTTPError, OSError):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
