"""Answers what a caller types."""

from livekit.agents import AgentSession
from livekit.agents.voice import room_io

from agent.assistant import wait_until_audible


async def answer_text(session: AgentSession[None], event: room_io.TextInputEvent) -> None:
    """Interrupts the agent and answers the typed text, just as spoken words would.

    Waits first until the caller receives the agent's audio: see `wait_until_audible`.
    """
    await wait_until_audible(session)
    async with session._claim_user_turn():  # noqa: SLF001  LiveKit's own advice to a callback like this
        await session.interrupt()
        session.generate_reply(user_input=event.text)
