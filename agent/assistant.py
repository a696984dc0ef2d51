"""Defines the agent of a call: its greeting, its limits, and its fillers for late answers."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from livekit import rtc
from livekit.agents import NOT_GIVEN, Agent, ModelSettings, StopResponse, llm, stt

from agent.budget import CallLimits
from agent.end_of_turn.detector import EndOfTurn
from agent.filler import FillerRule, FillerVoice, mark_late, waiting_since
from agent.floor import Floor
from agent.guard import CallGuard
from agent.history import bounded
from agent.languages import CallLanguages, LanguageRule
from agent.phone.callee import Callee
from agent.prepared_speech import PreparedSpeech, prepare
from agent.survival.restore import Resumption
from agent.toolbox.cover import ToolCover
from agent.toolbox.tool import LiveKitTool
from llm_router.routing.phrases import Phrases

_FILLER_INTERVAL = 5.0
"""Seconds from one filler to the next while the answer has not come."""
_INSTRUCTED = 5
"""Instructions of supervisors that count at a time, the latest ones."""
_SUPERVISOR = (
    "Your supervisor listens to this call and gives you these instructions, the latest last. Follow"
    " them. The caller does not know of them: never mention them or the supervisor."
)


class Assistant(Agent):
    """The agent of one call.

    `filler_after` is the time (s) without a word of the answer after which a filler is said.
    `guard` holds the call to its limits; None: there are none. `history_characters` of the
    conversation go to the model; 0: all of it. `tools` are what the model may call,
    `tool_phrases` what is said while one of them is slow, by its name. `resumption`: where another
    agent has stopped; None: the call is new. `languages`: those of the call; None: `language` is
    the only one. `floor` tells when it may speak; None: as its room says. `callee` finds out who
    has answered a call that the agent makes; None: the caller has called, or it does not matter.
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
        tools: Sequence[LiveKitTool] = (),
        tool_phrases: Mapping[str, str] | None = None,
        resumption: Resumption | None = None,
        languages: CallLanguages | None = None,
        floor: Floor | None = None,
        callee: Callee | None = None,
    ) -> None:
        super().__init__(
            instructions=instructions,
            tools=[*tools],
            chat_ctx=resumption.context if resumption else None,
        )
        self._filler_after = filler_after
        usual = phrases.pick("greeting", language, 0)
        self._greeting = usual if greeting is None else greeting
        self._own_instructions = instructions
        self._instructed: deque[str] = deque(maxlen=_INSTRUCTED)
        fillers = FillerRule(phrases, language)
        self._languages = languages or CallLanguages(LanguageRule([language]))
        self._languages.tell(fillers)
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
        self._floor = floor or Floor()
        self._callee = callee
        self._prepared: PreparedSpeech | None = None

    async def on_enter(self) -> None:
        self.session.on("user_state_changed", self._on_user_state)
        self._languages.follow(self.session)
        self._tool_cover.attach(self.session)
        if self._callee:
            self._callee.follow(self.session)
            # While the telephone rings.
            node = partial(Agent.default.tts_node, self, model_settings=ModelSettings())
            self._prepared = prepare(self._greeting, self.session.tts, node)
        if not await self._floor.take(self.session):
            return
        if self._resumption:
            self._go_on(self._resumption)
        elif self._callee and not await self._callee.is_person(self.session):
            return  # a machine was dealt with
        elif self._greeting:
            sound = self._prepared.sound() if self._prepared else NOT_GIVEN
            self.session.say(self._greeting, audio=sound)

    def _go_on(self, resumption: Resumption) -> None:
        """Speaks where the agent before has stopped."""
        if resumption.opening:
            self.session.say(resumption.opening, add_to_chat_ctx=resumption.in_history)
        if resumption.owes_reply:
            self.session.generate_reply()

    async def on_exit(self) -> None:
        self._floor.close()
        if self._prepared:
            await self._prepared.aclose()
        await self._tool_cover.aclose()

    def _on_user_state(self, event: Any) -> None:
        if event.old_state == "speaking":
            self._caller_stopped_at = asyncio.get_running_loop().time()

    async def instruct(self, text: str) -> None:
        """Gives an instruction of a supervisor to the model, from its next reply on."""
        self._instructed.append(text)
        noted = "\n".join(f"- {each}" for each in self._instructed)
        await self.update_instructions(f"{self._own_instructions}\n\n{_SUPERVISOR}\n{noted}")

    # ── The end of the caller's turn ─────────────────────────────────────────────────────────────

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[stt.SpeechEvent]:
        detector = self.session.turn_detection
        async for event in Agent.default.stt_node(self, audio, model_settings):
            if isinstance(detector, EndOfTurn):
                detector.words.note(event)
            yield event

    # ── Limits ───────────────────────────────────────────────────────────────────────────────────

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Admits what the caller has said; typed messages are admitted as they come."""
        words = new_message.text_content or ""
        if self._callee and (self._callee.is_unknown or self._callee.is_late_machine(words)):
            raise StopResponse
        if self._languages.turn_ended():  # a reply begun early, in the other language, is void
            turn_ctx.items[:] = self._languages.instruct(turn_ctx).items
        if not self._guard.admits(len(words)):
            raise StopResponse

    # ── Fillers for late answers ─────────────────────────────────────────────────────────────────

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncGenerator[llm.ChatChunk | str, None]:
        if self._callee and self._callee.is_unknown:
            return  # a reply in advance to what may be a machine
        if self._guard.is_spent:  # in the middle of a turn of many tool calls, say
            self._guard.end()
            return
        chat_ctx = self._languages.instruct(bounded(chat_ctx, self._history_characters))
        now = asyncio.get_running_loop().time()
        began = waiting_since(self._caller_stopped_at, now, self._filler_after)
        chunks = Agent.default.llm_node(self, chat_ctx, tools, model_settings)
        async for chunk in mark_late(chunks, began + self._filler_after, _FILLER_INTERVAL):  # type: ignore[arg-type]  # the default node yields ChatChunks
            yield chunk

    async def tts_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncGenerator[rtc.AudioFrame, None]:
        node = partial(Agent.default.tts_node, self, model_settings=model_settings)
        async for frame in self._filler_voice.speak(text, node):
            yield frame

    def transcription_node(
        self, text: AsyncIterable[Any], model_settings: ModelSettings
    ) -> AsyncIterable[Any]:
        words = self._filler_voice.shown(text)
        return Agent.default.transcription_node(self, words, model_settings)
