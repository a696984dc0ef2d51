"""The reader of typed messages closes in calls that have none, and their topics are not logged."""

import asyncio
import sys
from types import SimpleNamespace
from typing import Any, cast

from livekit import rtc
from livekit.agents import AgentSession

from agent.budget import CallLimits
from agent.guard import CallGuard
from agent.text_input import TextAnswers
from agent.typed_messages import TypedMessages
from llm_router.routing.phrases import Phrases
from llm_router.testing import ManualClock

PROCESS = """
import asyncio, logging
from livekit import rtc
from livekit.rtc._proto import room_pb2
from agent.media_log import turn_off_media_log

async def main():
    logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    turn_off_media_log()
    room = rtc.Room()
    text, data = room_pb2.TextStreamOpened(), room_pb2.ByteStreamOpened()
    text.reader.info.topic = data.reader.info.topic = "my card is 4111"
    for opened in (text, data):
        opened.reader.handle.id = 0
        opened.reader.info.stream_id = "1"
    room._handle_text_stream_opened(text)
    room._handle_byte_stream_opened(data)
    logging.info("done")

asyncio.run(main())
"""


async def test_the_reader_closes_in_a_call_by_voice_alone() -> None:
    guard = CallGuard(CallLimits(), Phrases({}), "en", ManualClock())
    session = cast("AgentSession[Any]", SimpleNamespace())
    typed = TypedMessages(session, rtc.Room(), guard, TextAnswers().answer)
    await typed.aclose()  # nothing was received: the site's modes are ["voice"]


async def test_topics_that_visitors_invent_are_not_logged() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROCESS), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            _, lines = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"done" in lines
    assert b"4111" not in lines
