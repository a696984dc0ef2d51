"""Defines the agent of a call: its greeting, its limits, and its fillers for late answers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, ModelSettings, StopResponse, llm

from agent.budget import CallLimits
from agent.filler import FillerRule, FillerVoice, mark_late, waiting_since, without_marks
from agent.guard import CallGuard
from agent.history import bounded
from agent.receptionist.presence import wait_for_the_word
from agent.survival.restore import Resumption
from agent.toolbox.cover import ToolCover
from agent.toolbox.tool import Tool
from llm_router.routing.phrases import Phrases

_FILLER_INTERVAL = 5.0
"""Seconds from one filler to the next while the answer has not come."""

_AUDIBLE_TIMEOUT = 5.0
"""Seconds to wait for the caller's client to subscribe to the agent's audio.

A page does so within 0.1 s; some clients never do.
"""


async def wait_until_audible(session: AgentSession[Any]) -> None:
    """Waits for the caller, and then until their client has subscribed to the agent's audio.

    For the latter it waits 5 s at most; if no caller comes, LiveKit closes the room. Await it
    before the agent's first words, and before interrupting them: in LiveKit 1.8.9, speech that is
    interrupted while it waits for the subscription cancels LiveKit's own wait as well, and the
    agent is mute for the rest of the call.
    """
    try:
        room_io = session.room_io
    except RuntimeError:  # a session without a room has no client to wait for
        return
    await room_io.wait_for_ready()
    subscribed = room_io.subscribed_fut
    if subscribed:
        await asyncio.wait({subscribed}, timeout=_AUDIBLE_TIMEOUT)


class Assistant(Agent):
    """The agent of one call.

    `filler_after` is the time (s) without a word of the answer after which a filler is said.
    `guard` holds the call to its limits; None: there are none. `history_characters` of the
    conversation go to the model; 0: all of it. `tools` are what the model may call,
    `tool_phrases` what is said while one of them is slow, by its name. `resumption`: where another
    agent has stopped; None: the call is new.
    """

    def __init__(
        self,
        *,
        instructions: str,
        phrases: Phrases,
        language: str,
        filler_after: float,
        greeting: str | None = None,
        guard: CallGuard | None = None,
        history_characters: int = 0,
        tools: Sequence[Tool] = (),
        tool_phrases: Mapping[str, str] | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        super().__init__(
            instructions=instructions,
            tools=[*tools],
            chat_ctx=resumption.context if resumption else None,
        )
        self._phrases = phrases
        self._language = language
        self._filler_after = filler_after
        usual = phrases.pick("greeting", language, 0)
        self._greeting = usual if greeting is None else greeting
        fillers = FillerRule(phrases, language)
        self._filler_voice = FillerVoice(fillers)
        self._tool_cover = ToolCover(
            # The same object, also while it is empty: phrases of MCP servers come later.
            fillers,
            {} if tool_phrases is None else tool_phrases,
            filler_after,
        )
        self._caller_stopped_at = 0.0
        self._guard = guard or CallGuard(CallLimits(), phrases, language)
        self._history_characters = history_characters
        self._resumption = resumption

    async def on_enter(self) -> None:
        self.session.on("user_state_changed", self._on_user_state)
        self._tool_cover.attach(self.session)
        await wait_until_audible(self.session)
        await wait_for_the_word(self.session)
        if self._resumption:
            self._go_on(self._resumption)
        elif self._greeting:
            self.session.say(self._greeting)

    def _go_on(self, resumption: Resumption) -> None:
        """Speaks where the agent before has stopped."""
        if resumption.opening:
            self.session.say(resumption.opening, add_to_chat_ctx=resumption.in_history)
        if resumption.owes_reply:
            self.session.generate_reply()

    async def on_exit(self) -> None:
        await self._tool_cover.aclose()

    def _on_user_state(self, event: Any) -> None:
        if event.old_state == "speaking":
            self._caller_stopped_at = asyncio.get_running_loop().time()

    # ── Limits ───────────────────────────────────────────────────────────────────────────────────

    async def on_user_turn_completed(
        self,
        turn_ctx: llm.ChatContext,  # noqa: ARG002  LiveKit passes it
        new_message: llm.ChatMessage,
    ) -> None:
        """Admits what the caller has said; typed messages are admitted as they come."""
        if not self._guard.admits(len(new_message.text_content or "")):
            raise StopResponse

    # ── Fillers for late answers ─────────────────────────────────────────────────────────────────

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncGenerator[llm.ChatChunk | str, None]:
        if self._guard.is_spent:  # in the middle of a turn of many tool calls, say
            self._guard.end()
            return
        chat_ctx = bounded(chat_ctx, self._history_characters)
        now = asyncio.get_running_loop().time()
        began = waiting_since(self._caller_stopped_at, now, self._filler_after)
        chunks = Agent.default.llm_node(self, chat_ctx, tools, model_settings)
        async for chunk in mark_late(chunks, began + self._filler_after, _FILLER_INTERVAL):  # type: ignore[arg-type]  # the default node yields ChatChunks
            yield chunk

    async def tts_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncGenerator[rtc.AudioFrame, None]:
        def synthesize(words: AsyncIterable[str]) -> AsyncGenerator[rtc.AudioFrame, None]:
            return Agent.default.tts_node(self, words, model_settings)

        async for frame in self._filler_voice.speak(text, synthesize):
            yield frame

    def transcription_node(
        self, text: AsyncIterable[Any], model_settings: ModelSettings
    ) -> AsyncIterable[Any]:
        return Agent.default.transcription_node(self, without_marks(text), model_settings)
