"""What Ollama has besides words: models on disk and in memory."""

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
class Shelf:
    """`loads_for`: seconds that a model takes to be loaded; given up with whoever asked for it.

    `pull_gap`: seconds between two lines about a model that is pulled; of one whose name holds
    `missing` nothing comes but an error, inside the 200.
    """

    clock: Clock
    models: list[str]
    loaded: set[str] = field(default_factory=set)
    loads_for: float = 0.0
    loads: list[Any] = field(default_factory=list)
    """The bodies of the requests to load one."""
    pull_gap: float = 0.0

    async def answer(self, asked: Request, wire: Wire) -> None:
        model = str(asked.json().get("model", ""))
        match asked.path.rpartition("/")[2]:
            case "tags":
                await wire.send_json(200, {"models": [{"name": name} for name in self.models]})
            case "ps":
                await wire.send_json(200, {"models": [{"name": n} for n in sorted(self.loaded)]})
            case "chat" | "generate":
                self.loads.append(asked.json())
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
        if model not in self.loaded and self.loads_for:
            loading = asyncio.create_task(self.clock.sleep(self.loads_for))
            leaving = asyncio.create_task(wire.gone.wait())
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
            why = "pull model manifest: file does not exist"
            await wire.send_chunk(json_line({"error": why}))
            return await wire.end_chunks()
        for piece in range(_PIECES + 1):
            await self.clock.sleep(self.pull_gap)
            if wire.gone.is_set():
                raise ConnectionResetError("the client is gone")
            told = {"status": "pulling 4f00", "digest": _LAYER, "total": _LAYER_SIZE}
            completed = {"completed": piece * _LAYER_SIZE // _PIECES} if piece else {}
            await wire.send_chunk(json_line(told | completed))
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            await wire.send_chunk(json_line({"status": status}))
        self.models.append(model)
        return await wire.end_chunks()


def is_chat(asked: Request) -> bool:
    """Whether somebody wants words; Ollama is asked the same way to load a model."""
    path = asked.path.partition("?")[0]
    if path.endswith("/chat/completions"):
        return True
    if path.endswith("/api/generate"):
        return bool(asked.json().get("prompt"))
    return path.endswith("/api/chat") and bool(asked.json().get("messages"))
