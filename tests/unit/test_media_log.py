"""The log of LiveKit's media library is turned off in the processes of calls."""

import asyncio
import sys

import pytest

PROCESS = """
import logging, sys, threading
from livekit import rtc
from livekit.rtc import _ffi_client as ffi
from agent.media_log import turn_off_media_log

begun = threading.Semaphore(0)
lines = []

class Lines(logging.Handler):
    def emit(self, record):
        line = record.getMessage()
        lines.append(line)
        if "initializing" in line:
            begun.release()

logging.basicConfig(level=logging.DEBUG, handlers=[Lines()])
client = ffi.FfiClient.instance
if sys.argv[1] == "off":
    turn_off_media_log()
source = rtc.AudioSource(24000, 1)
rtc.LocalAudioTrack.create_audio_track("voice", source)
# The library says that it begins, as it did at first: all lines in between have come by then.
client._ffi_lib.livekit_ffi_initialize(ffi.ffi_event_callback, True, b"test", b"1")
assert begun.acquire(timeout=20)
assert begun.acquire(timeout=20)
print(sum("libwebrtc" in line for line in lines) > 0)
"""


@pytest.mark.parametrize(("log", "has_lines"), [("on", b"True\n"), ("off", b"False\n")])
async def test_the_media_library_gives_no_lines_of_its_log(log: str, has_lines: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROCESS, log),
        stdout=asyncio.subprocess.PIPE,
        env={"LIVEKIT_RTC_DEBUG": "1"},
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert said == has_lines
