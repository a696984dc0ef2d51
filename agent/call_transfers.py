"""Puts together what reaches persons in one call: its transfers, and the words of supervisors."""

from livekit.agents import AgentSession
from livekit.agents.utils import http_context

from agent.assistant import Assistant
from agent.call_log import CallLog
from agent.call_start import StartedCall
from agent.livekit_api import open_api
from agent.phone.transfer.room import CallRoom
from agent.phone.transfer.transfers import TransferParts, Transfers
from agent.whispers import WhisperReceiver, Whispers
from llm_router.clock import SystemClock


def transfers_of(call: StartedCall, session: AgentSession[None], log: CallLog) -> Transfers | None:
    """Makes the transfers of a call; None: there is no one to whom it could be transferred."""
    ctx, guard = call.ctx, call.guard
    if not call.phone.people:
        return None
    keys = call.settings.livekit_api_key, call.settings.livekit_api_secret.get_secret_value()
    # Not the job's own, which may dial twice.
    livekit = open_api(call.settings.livekit_url, *keys, session=http_context.http_session())
    room = CallRoom(session, ctx.room, livekit)

    async def leave() -> None:
        # The page takes an agent that leaves by itself for one that hangs up.
        if not await room.remove(ctx.room.local_participant.identity):
            await ctx.room.disconnect()

    def on_hold(is_on_hold: bool) -> None:
        guard.is_on_hold = is_on_hold

    return Transfers(
        TransferParts(
            room=room,
            setup=call.phone,
            phrases=call.resources.phrases,
            language=call.settings.agent_language,
            tts=call.engines.tts,
            stt=call.engines.stt,
            clock=SystemClock(),
            hand_over=log.hand_over,
            leave=leave,
            on_hold=on_hold,
        )
    )


def receive_whispers(call: StartedCall, assistant: Assistant) -> WhisperReceiver:
    """Hands the instructions of supervisors to the agent from now on. To be closed."""
    whispers = Whispers(call.settings.livekit_api_secret.get_secret_value())
    receiver = WhisperReceiver(whispers, assistant.instruct, SystemClock())
    receiver.follow(call.ctx.room)
    return receiver
