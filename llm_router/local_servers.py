"""Tells which model server, if any, answers at an address of this machine."""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

USUAL_ADDRESSES = (
    "http://127.0.0.1:8000",  # vLLM
    "http://127.0.0.1:11434",  # Ollama
    "http://127.0.0.1:8080",  # llama.cpp, TGI, LocalAI
    "http://127.0.0.1:30000",  # SGLang
    "http://127.0.0.1:1234",  # LM Studio
    "http://127.0.0.1:4000",  # LiteLLM
)
"""Where model servers listen unless told otherwise, in the order they are preferred."""

_LONGEST_ANSWER = 1 << 20  # bytes
_OK = 200

_OWNERS = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llama_cpp", "library": "ollama"}
"""`owned_by` in the list of models, and the server that says so."""
_SIGNS = (
    ("ollama", "/api/version", "version"),
    ("llama_cpp", "/props", "default_generation_settings"),
    ("tgi", "/info", "model_id"),
    ("lm_studio", "/api/v0/models", "data"),
    ("litellm", "/health/liveliness", None),
    ("localai", "/readyz", None),
)
"""Server, a path that it alone answers, and the JSON field to find there (None: any answer)."""
_TITLES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "ollama": "Ollama",
    "llama_cpp": "llama.cpp",
    "tgi": "TGI",
    "lm_studio": "LM Studio",
    "litellm": "LiteLLM",
    "localai": "LocalAI",
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """A model server that was found. `server` is its row in the catalog; empty: not recognised."""

    base_url: str
    server: str
    models: tuple[str, ...]

    @property
    def title(self) -> str:
        return _TITLES.get(self.server, "an OpenAI-compatible server")


async def look_around(addresses: Sequence[str], within: float) -> list[Sighting]:
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
        sightings = await asyncio.gather(*(_look_at(client, url, within) for url in addresses))
    return [sighting for sighting in sightings if sighting]


async def _look_at(client: httpx2.AsyncClient, root: str, within: float) -> Sighting | None:
    try:
        async with asyncio.timeout(within):
            listed = await _answer(client, f"{root}/v1/models")
            if not isinstance(listed, Mapping) or "data" not in listed:
                return None
            rows = listed["data"] or []  # null: Ollama without a model
            if not isinstance(rows, list):
                return None
            server = _owner(rows) or await _by_signs(client, root)
    except TimeoutError:
        return None
    models = (row.get("id") for row in rows if isinstance(row, Mapping))
    return Sighting(f"{root}/v1", server, tuple(m for m in models if isinstance(m, str) and m))


def _owner(rows: Sequence[Any]) -> str:
    owners = (row.get("owned_by") for row in rows if isinstance(row, Mapping))
    return next((_OWNERS[o] for o in owners if isinstance(o, str) and o in _OWNERS), "")


async def _by_signs(client: httpx2.AsyncClient, root: str) -> str:
    answers = await asyncio.gather(*(_answer(client, root + path) for _, path, _ in _SIGNS))
    for (server, _, field), answer in zip(_SIGNS, answers, strict=True):
        if answer is None:
            continue
        if field is None or (isinstance(answer, Mapping) and field in answer):
            return server
    return ""


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
