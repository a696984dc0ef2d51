"""An agent elsewhere, with LiveKit's own plugin for OpenAI, answers through our gateway."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from livekit import api, rtc
from livekit.agents import Agent, AgentSession
from livekit.plugins import openai

from agent.speech.tts import TTSOptions
from agent.tokens import mint_token
from agent.tts.embedded import create as create_voice
from tests.voice.caller import Caller, call
from tests.voice.replies import FAILURE_CASES, REPLY
from tests.voice.stack import VoiceStack


@asynccontextmanager
async def agent_elsewhere(stack: VoiceStack, room: str, key: str) -> AsyncIterator[asyncio.Event]:
    """Runs an agent that knows of us no more than an address and a key, in a room of its own.

    Yields an event that is set once the agent has met its caller.
    """
    livekit = stack.livekit
    address = f"http://127.0.0.1:{stack.ports.http_port}/v1"
    grants = api.VideoGrants(
        room=room, room_join=True, room_create=True, agent=True, can_update_own_metadata=True
    )
    token = api.AccessToken(livekit.key, livekit.secret).with_identity("agent").with_kind("agent")
    llm = openai.LLM(model="auto", base_url=address, api_key=key)
    voice = await asyncio.to_thread(create_voice, TTSOptions())
    session = AgentSession[None](llm=llm, tts=voice)
    connection, met = rtc.Room(), asyncio.Event()
    connection.on("participant_connected", lambda _: met.set())
    async with AsyncExitStack() as ends:
        ends.push_async_callback(llm.aclose)
        ends.push_async_callback(voice.aclose)
        await connection.connect(livekit.url, token.with_grants(grants).to_jwt())
        ends.push_async_callback(connection.disconnect)
        await session.start(Agent(instructions="Be brief."), room=connection)
        ends.push_async_callback(session.aclose)
        yield met


@asynccontextmanager
async def stored(stack: VoiceStack) -> AsyncIterator[None]:
    """Stores both model servers for programs alone, so that other calls are not concerned."""
    async with AsyncExitStack() as ends:
        for server, name, priority in ((stack.first, "first", 1), (stack.spare, "spare", 2)):
            row = {
                "name": name,
                "base_url": server.base_url,
                "model_name": server.model,
                "priority": priority,
                "continuation": "flags",
                "use_in_livekit": False,
            }
            made = await stack.manage("POST", "/connections", row)
            ends.push_async_callback(stack.manage, "DELETE", f"/connections/{made['id']}")
        yield


async def test_livekits_own_plugin_speaks_a_whole_answer_while_the_first_model_breaks_off(
    stack: VoiceStack,
) -> None:
    livekit, room = stack.livekit, f"call-{secrets.token_hex(4)}"
    token = mint_token(
        api_key=livekit.key,
        api_secret=livekit.secret,
        identity="caller",
        name="Caller",
        room=room,
        ttl=60,
        now=time.time(),
    )
    key = (await asyncio.to_thread(Path(stack.settings["ADMIN_KEY_FILE"]).read_text)).strip()
    async with (
        stored(stack),
        agent_elsewhere(stack, room, key) as met,
        call(livekit.url, token, microphone=False) as caller,
    ):
        await met.wait()
        await FAILURE_CASES["reset"].apply(stack.first, stack.spare)
        assert await answer(caller) == REPLY
    assert [len(server.requests) for server in (stack.first, stack.spare)] == [1, 1]


async def answer(caller: Caller) -> str:
    """Types a question; returns the words of the answer, which must be audible as well."""
    asked = asyncio.get_running_loop().time()
    await caller.type("When are you open?")
    said = await caller.wait_for_answer(asked)
    assert caller.first_sound(asked)
    return said
