"""The contenders of this bench: the router and its peers, each a module of `bench/peers`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """A module of `bench/peers`, in one of its settings.

    `healthy_turns`: turns before it meets a fault. Without any it is cold: new for each turn, as at
    the beginning of a call. `environment`: the one that it lives in; None: ours. `parallel`: how
    many faults it meets at a time, each in processes of its own. A caller of a hung server waits
    without working, so there can be more processes than processors, and most for the contender
    that waits longest.
    """

    product: str
    module: str
    setting: str = "default"
    healthy_turns: int = 0
    environment: str | None = None
    parallel: int = 2

    @property
    def name(self) -> str:
        return f"{self.product}, {'warm' if self.healthy_turns else 'cold'}"


WARM = 10
"""Healthy turns before a fault."""
_OURS = "bench.peers.patchbay"
_LIVEKIT = "bench.peers.fallback_adapter"
_PLUGIN = "bench.peers.openai_plugin"
_LITELLM = "bench.peers.litellm_router"
_PYDANTIC = "bench.peers.fallback_model"
CONTENDERS = (
    Contender("Patchbay", _OURS),
    Contender("Patchbay", _OURS, healthy_turns=WARM),
    Contender("FallbackAdapter", _LIVEKIT),
    Contender("FallbackAdapter", _LIVEKIT, healthy_turns=WARM),
    Contender("FallbackAdapter 1 s", _LIVEKIT, "tuned"),
    Contender("FallbackAdapter 1 s", _LIVEKIT, "tuned", WARM),
    Contender("LiteLLM Router", _LITELLM, "default", WARM, "litellm", parallel=3),
    Contender("LiteLLM Router 1 s", _LITELLM, "tuned", WARM, "litellm"),
    Contender("FallbackModel", _PYDANTIC, "default", WARM, "pydantic-ai", parallel=3),
    Contender("FallbackModel 1 s", _PYDANTIC, "tuned", WARM, "pydantic-ai"),
)
ONE_SERVER_CONTENDERS = (
    Contender("Patchbay", _OURS, parallel=3),
    Contender("Patchbay", _OURS, healthy_turns=WARM, parallel=3),
    Contender("OpenAI plugin", _PLUGIN, healthy_turns=WARM, parallel=5),
    Contender("FallbackAdapter", _LIVEKIT, "session", WARM, parallel=5),
)
"""The contenders that people use with one model server."""
