"""Open WebUI's requests, as its 0.12.4 sends them: the program itself is too large to install here.

Read in its `routers/openai.py` and `utils/headers.py`.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from llm_router.testing.server import Script
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, one_server

LOCAL = ("127.0.0.0/8",)
USER = {
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "Zo%C3%AB",
    "X-OpenWebUI-User-Id": "6f0c7ad4-8a5e-4a8e-9f53-0d4a3f2b7c11",
    "X-OpenWebUI-User-Email": "zoe@shop.example",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "0b0ad4f2-5c0b-4a8e-9f53-0d4a3f2b7c11",
    "X-OpenWebUI-Message-Id": "1b0ad4f2-5c0b-4a8e-9f53-0d4a3f2b7c11",
}
BODY = {"messages": [{"role": "user", "content": "When do you open?"}]}


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        yield gateway


async def asked(gateway: Gateway, **fields: Any) -> httpx2.Response:
    body = {**BODY, **fields}
    return await gateway.call("editor", "POST", "/v1/chat/completions", body, headers=USER)


async def test_it_lists_the_models_and_each_answers_streamed_and_whole(gateway: Gateway) -> None:
    async with one_server(gateway) as server:
        listed = (await gateway.call("editor", "GET", "/v1/models", headers=USER)).json()
        names = [model["id"] for model in listed["data"]]
        assert {"auto", "desk"} <= {*names}
        words = "".join(Script().words)
        for name in names:
            streamed = await asked(
                gateway, model=name, stream=True, stream_options={"include_usage": True}
            )
            # It decides by the content type whether to stream.
            assert "text/event-stream" in streamed.headers["content-type"]
            data = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: {")]
            choices = [choice for frame in data for choice in json.loads(frame)["choices"]]
            assert "".join(choice["delta"].get("content", "") for choice in choices) == words
            whole = await asked(gateway, model=name, stream=False)
            assert whole.headers["content-type"] == "application/json"
            assert whole.json()["choices"][0]["message"]["content"] == words
        for request in server.requests:
            assert not any(header.lower().startswith("x-openwebui") for header in request.headers)


async def test_an_error_is_json_and_no_stream(gateway: Gateway) -> None:
    async with one_server(gateway):
        refused = await asked(gateway, model="gone", stream=True)
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/json"
    assert "there is: auto" in refused.json()["error"]["message"]
