"""Answers what a caller types: in writing, and aloud only to a caller who listens."""

import logging

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice import SpeechHandle, room_io

from agent.phone.line import wait_until_audible

LISTENS = "patchbay.listens"
"""Attribute of a typed message, "true" or "false": whether its writer wants to hear the answer.

Without it, a writer who has opened a microphone in this call listens.
"""


class TextAnswers:
    """Answers the typed messages of one call.

    A voice paces its words: an answer that no voice speaks is written as fast as the model gives
    it. The voice is off for as long as such an answer takes, and no longer.
    """

    def __init__(self) -> None:
        logging.getLogger("livekit.agents").addFilter(_is_news)
        self._silent: SpeechHandle | None = None

    async def answer(self, session: AgentSession[None], event: room_io.TextInputEvent) -> None:
        """Interrupts the agent and answers the typed text, just as spoken words would.

        Waits first until the caller receives the agent's audio: see `wait_until_audible`.
        """
        await wait_until_audible(session)
        async with session._claim_user_turn():  # noqa: SLF001  LiveKit's own advice to a callback like this
            await session.interrupt()
            aloud = listens(event)
            session.output.set_audio_enabled(aloud)
            reply = session.generate_reply(user_input=event.text)
            self._silent = None if aloud else reply
            reply.add_done_callback(lambda ended: self._on_end(session, ended))

    def _on_end(self, session: AgentSession[None], reply: SpeechHandle) -> None:
        if reply is self._silent:
            self._silent = None
            session.output.set_audio_enabled(True)


def _is_news(record: logging.LogRecord) -> bool:
    # LiveKit warns whenever the voice is off: it takes that for a mistake.
    return not record.getMessage().startswith("TranscriptSynchronizer audio output was detached")


def listens(event: room_io.TextInputEvent) -> bool:
    """Returns whether the writer of a typed message wants to hear its answer."""
    wish = (event.info.attributes or {}).get(LISTENS) if event.info else None
    if wish is not None:
        return wish == "true"
    tracks = event.participant.track_publications.values() if event.participant else ()
    return any(track.source == rtc.TrackSource.SOURCE_MICROPHONE for track in tracks)
