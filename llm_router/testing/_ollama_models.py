"""The models that a faulty server's Ollama side has on disk and in memory."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from llm_router.clock import Clock
from llm_router.testing._formats import json_line
from llm_router.testing._http import Request, Wire

_LAYER = "sha256:4f00"
_LAYER_SIZE = 1000
_PIECES = 4


@dataclass
class OllamaModels:
    """The state behind /api/tags, ps, pull, delete, and behind requests that only load a model."""

    clock: Clock
    models: list[str]
    """Names of the models on disk."""
    loaded: set[str] = field(default_factory=set)
    """Names of the models in memory."""
    load_time: float = 0.0
    """Time to load a model (s). Loading is abandoned when the client that asked for it leaves."""
    load_requests: list[Any] = field(default_factory=list)
    """Bodies of the requests to load a model."""
    pull_gap: float = 0.0
    """Time between two progress lines of a pull (s).

    Pulling a model whose name contains `missing` answers 200 and then sends an error.
    """

    async def answer(self, request: Request, wire: Wire) -> None:
        """Answers one request below /api that does not ask for words."""
        model = str(request.json().get("model", ""))
        match request.path.rpartition("/")[2]:
            case "tags":
                await wire.send_json(200, {"models": [{"name": n} for n in self.models]})
            case "ps":
                await wire.send_json(200, {"models": [{"name": n} for n in sorted(self.loaded)]})
            case "chat" | "generate":
                self.load_requests.append(request.json())
                await self._load(model, wire)
            case "pull":
                await self._pull(model, wire)
            case "delete" if model in self.models:
                self.models.remove(model)
                await wire.send_json(200, {})
            case "delete":
                await wire.send_json(404, {"error": f"model '{model}' not found"})
            case _:
                await wire.send_json(404, {"error": "no such route"})

    async def _load(self, model: str, wire: Wire) -> None:
        if model not in self.loaded and self.load_time:
            loading = asyncio.create_task(self.clock.sleep(self.load_time))
            leaving = asyncio.create_task(wire.client_closed.wait())
            try:
                await asyncio.wait({loading, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not loading.done():
                    raise ConnectionResetError("the client is gone")
            finally:
                loading.cancel()
                leaving.cancel()
                await asyncio.gather(loading, leaving, return_exceptions=True)
        self.loaded.add(model)
        await wire.send_json(200, {"message": {}, "done": True, "done_reason": "load"})

    async def _pull(self, model: str, wire: Wire) -> None:
        await wire.send_head(200, {"content-type": "application/x-ndjson"})
        await wire.send_chunk(json_line({"status": "pulling manifest"}))
        if "missing" in model:
            error = "pull model manifest: file does not exist"
            await wire.send_chunk(json_line({"error": error}))
            return await wire.end_chunks()
        for piece in range(_PIECES + 1):
            await self.clock.sleep(self.pull_gap)
            if wire.client_closed.is_set():
                raise ConnectionResetError("the client is gone")
            line = {"status": "pulling 4f00", "digest": _LAYER, "total": _LAYER_SIZE}
            completed = {"completed": piece * _LAYER_SIZE // _PIECES} if piece else {}
            await wire.send_chunk(json_line(line | completed))
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            await wire.send_chunk(json_line({"status": status}))
        self.models.append(model)
        return await wire.end_chunks()


def is_chat(request: Request) -> bool:
    """Returns whether a request asks for words.

    Ollama's clients load a model at the same paths, with no prompt or no messages.
    """
    path = request.path.partition("?")[0]
    if path.endswith("/chat/completions"):
        return True
    if path.endswith("/api/generate"):
        return bool(request.json().get("prompt"))
    return path.endswith("/api/chat") and bool(request.json().get("messages"))
