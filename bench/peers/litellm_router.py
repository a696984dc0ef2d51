"""LiteLLM's Router. Needs the environment `litellm`."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from bench.peers.runner import MESSAGES, MODEL, Ask, OpenContender, run

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read at import; else it downloads one

import litellm  # type: ignore[import-not-found]  # has an environment of its own

litellm.telemetry = False
litellm.suppress_debug_info = True


def _deployment(group: str, address: str, **more: Any) -> dict[str, Any]:
    params = {"model": f"openai/{MODEL}", "api_base": address, "api_key": "unused", **more}
    return {"model_name": group, "litellm_params": params}


def default(addresses: Sequence[str]) -> Any:
    """Sets up two groups and `fallbacks`, like the first example of its documentation."""
    primary, spare = addresses
    return litellm.Router(
        model_list=[_deployment("voice", primary), _deployment("spare", spare)],
        fallbacks=[{"voice": ["spare"]}],
    )


def tuned(addresses: Sequence[str]) -> Any:
    """Sets up one group in `order`, so that a failed server cools down and the next turns avoid it;
    without retries, because a server that hung would hang again.
    """
    return litellm.Router(
        model_list=[_deployment("voice", url, order=n) for n, url in enumerate(addresses, 1)],
        timeout=1,
        stream_timeout=1,
        num_retries=0,
        allowed_fails=0,
    )


def _contender(build: Any) -> OpenContender:
    @asynccontextmanager
    async def open_router(addresses: Sequence[str]) -> AsyncIterator[Ask]:
        router = build(addresses)

        async def ask() -> AsyncGenerator[str, None]:
            stream = await router.acompletion(model="voice", messages=MESSAGES, stream=True)
            async with aclosing(stream):
                async for chunk in stream:
                    if chunk.choices and (content := chunk.choices[0].delta.content):
                        yield content

        yield ask
        router.discard()

    return open_router


if __name__ == "__main__":
    run({"default": _contender(default), "tuned": _contender(tuned)}, ["litellm"])
