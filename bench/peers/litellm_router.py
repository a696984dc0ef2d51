"""LiteLLM's Router. Needs the environment `litellm`."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from bench.peers._runner import MESSAGES, MODEL, Speaker, run

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read at import; else it fetches one

import litellm  # type: ignore[import-not-found]  # in an environment of its own

litellm.telemetry = False
litellm.suppress_debug_info = True


def _deployment(group: str, address: str, **more: Any) -> dict[str, Any]:
    params = {"model": f"openai/{MODEL}", "api_base": address, "api_key": "unused", **more}
    return {"model_name": group, "litellm_params": params}


def default(addresses: Sequence[str]) -> Any:
    """Two groups and `fallbacks`, as its documentation begins."""
    primary, spare = addresses
    return litellm.Router(
        model_list=[_deployment("voice", primary), _deployment("spare", spare)],
        fallbacks=[{"voice": ["spare"]}],
    )


def tuned(addresses: Sequence[str]) -> Any:
    """One group in `order`, so that a server that failed cools down: the next turns go round it.
    No retries, for a server that hung would hang again.
    """
    return litellm.Router(
        model_list=[_deployment("voice", url, order=n) for n, url in enumerate(addresses, 1)],
        timeout=1,
        stream_timeout=1,
        num_retries=0,
        allowed_fails=0,
    )


def _opens(build: Any) -> Any:
    @asynccontextmanager
    async def opens(addresses: Sequence[str]) -> AsyncIterator[Speaker]:
        router = build(addresses)

        async def speak() -> AsyncGenerator[str, None]:
            stream = await router.acompletion(model="voice", messages=MESSAGES, stream=True)
            async with aclosing(stream):
                async for chunk in stream:
                    if chunk.choices and (content := chunk.choices[0].delta.content):
                        yield content

        yield speak
        router.discard()

    return opens


if __name__ == "__main__":
    run({"default": _opens(default), "tuned": _opens(tuned)}, ["litellm"])
