"""Makes the parts that only calls out need: their words, and the detection of who answers."""

from functools import partial

from livekit.agents import llm

from agent.call_log import CallLog
from agent.call_start import StartedCall
from agent.phone.callee import Callee
from agent.survival.restore import Resumption
from llm_router.integrations.livekit import RouterLLM
from llm_router.voice.calls import ANSWERED_BY
from llm_router.voice.phone.plan import fill

_LONGEST_ANSWER = 200
"""Characters of a model's answer that are read: one word was asked for."""


def filled(call: StartedCall, words: str) -> str:
    """Returns words with the values of a planned call in place of its names."""
    outgoing = call.dispatch.outgoing
    return fill(words, outgoing.variables) if outgoing else words


def callee_of(
    call: StartedCall, model: RouterLLM, log: CallLog, resumption: Resumption | None
) -> Callee | None:
    """Makes what finds out who answers; None: nothing is to be found out.

    A later agent of the call goes on with the person whom an earlier one has met, if any has, and
    leaves its message with a machine that one has found.
    """
    outgoing = call.dispatch.outgoing
    is_machine = resumption is not None and resumption.is_machine
    has_met = resumption is not None and not (resumption.is_first or is_machine)
    if outgoing is None or not outgoing.detect_machine or has_met:
        return None

    def on_found(answered_by: str) -> None:
        log.learn(metadata={ANSWERED_BY: answered_by})

    return Callee(
        partial(_ask, model),
        on_found,
        message=filled(call, outgoing.voicemail),
        vad_silence=call.settings.vad_min_silence,
        is_machine=is_machine,
    )


async def _ask(model: RouterLLM, question: str) -> str:
    """Asks the router's models, without any tool."""
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=question)
    words = ""
    async with model.chat(chat_ctx=context, tools=[]) as stream:
        async for chunk in stream:
            words += (chunk.delta.content or "") if chunk.delta else ""
            if len(words) > _LONGEST_ANSWER:
                break
    return words
