"""Turns off the log of LiveKit's media library, WebRTC's included.

The library gives every line of it to Python, one by one, and there nearly all are thrown away: some
1,800 for each room that is joined, which take 80 ms of a processor within the first second.
"""

import logging
import os

from livekit import rtc
from livekit.rtc import _ffi_client as ffi


def turn_off_media_log() -> None:
    """Ends the log of the library in this process, except for what RUST_LOG asks it to print.

    LiveKit's lines about streams that no one reads end as well. Call it before a room is joined.
    """
    os.environ.setdefault("RUST_LOG", "off")  # read as the library is loaded
    library = ffi.FfiClient.instance._ffi_lib  # noqa: SLF001  LiveKit has no option for it
    library.livekit_ffi_initialize(
        ffi.ffi_event_callback, False, b"python", rtc.__version__.encode("ascii")
    )
    logging.getLogger().addFilter(_names_no_topic)


def _names_no_topic(record: logging.LogRecord) -> bool:
    # LiveKit logs the topic of each stream that has no reader: a visitor's words, without end.
    return not str(record.msg).startswith(("ignoring text stream", "ignoring byte stream"))
