"""The router as LiveKit's `llm.LLM`, for an AgentSession and for every other use of an LLM.

`llm` holds the LLM and `stream` one reply of it. `node` tells a reply that a voice will speak from
a side question, `request` and `history` translate what is asked, `errors` what went wrong, and
`opening` opens a router on its first use.
"""

from llm_router.integrations.livekit.errors import ReplyError
from llm_router.integrations.livekit.history import ROUTE, UNFINISHED
from llm_router.integrations.livekit.llm import RouterLLM

__all__ = ["ROUTE", "UNFINISHED", "ReplyError", "RouterLLM"]
