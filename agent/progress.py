"""Follows how far a reply is: the words that the caller has received, and the tools that run.

The call's log and its black box both note it, so that the agent after this one repeats neither.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from livekit.agents import (
    AgentSession,
    ConversationItemAddedEvent,
    FunctionToolsExecutedEvent,
    SpeechCreatedEvent,
    ToolCallEnded,
    ToolCallStarted,
    ToolExecutionUpdatedEvent,
    io,
)

from llm_router.voice.calls import MAX_TEXT


class RunRecord(Protocol):
    """The part of a call's record of effects that says what another agent must not repeat."""

    @property
    def unreported(self) -> Sequence[Mapping[str, Any]]:
        """Runs whose result no turn has received, as `call_id`, `name` and `arguments`."""

    def may_change(self, tool: str) -> bool:
        """Returns whether a tool may change something."""


class Progress:
    """The progress of one call's reply. Follow a session before its other observers do."""

    def __init__(self, effects: RunRecord | None = None) -> None:
        self._effects = effects
        self._tools: dict[str, Mapping[str, Any]] = {}
        self.voiced = VoicedText()

    def follow(self, session: AgentSession[Any]) -> None:
        self.voiced.speech_of = lambda: session.current_speech
        session.on("conversation_item_added", self._on_item)
        session.on("function_tools_executed", self._on_tools)
        session.on("tool_execution_updated", self._on_tool)
        session.on("speech_created", self._on_speech)

    @property
    def runs_tools(self) -> bool:
        return bool(self._tools)

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """Tools that may have had an effect, and whose outcome the conversation does not hold.

        A tool that only reads is not among them: the next agent may run it again.
        """
        if self._effects is None:
            return [*self._tools.values()]
        may_change = self._effects.may_change
        running = [tool for tool in self._tools.values() if may_change(tool["name"])]
        return [*running, *self._effects.unreported]

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if getattr(event.item, "role", "") == "assistant":
            self.voiced.clear()

    def _on_tools(self, event: FunctionToolsExecutedEvent) -> None:
        for call in event.function_calls:
            self._tools.pop(call.call_id, None)

    def _on_tool(self, event: ToolExecutionUpdatedEvent) -> None:
        match event.update:
            case ToolCallStarted(function_call=call):
                self._tools[call.call_id] = {
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": call.arguments,
                }
            case ToolCallEnded(call_id=call_id, status="cancelled"):
                self._tools.pop(call_id, None)  # a run that goes on all the same is unreported
            # Others stay until their results are items, which may be when a slower one has ended.

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        # Some phrases are no items. An agent that pauses for a noise still has the same speech.
        event.speech_handle.add_done_callback(self.voiced.end)


class VoicedText(io.TextOutput):
    """The words of the reply under way that the caller has received so far.

    It is the end of LiveKit's chain of transcripts, behind the part that keeps pace with the voice.
    """

    def __init__(self) -> None:
        super().__init__(label="voiced", next_in_chain=None)
        self.speech_of: Callable[[], object] = lambda: None
        """Returns the speech that is being voiced."""
        self._speech: object = None
        self._parts: list[str] = []
        self._length = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    async def capture_text(self, text: str) -> None:
        speech = self.speech_of()
        if speech is not None and speech is not self._speech:
            self.clear()
            self._speech = speech
        if self._length < MAX_TEXT:
            self._parts.append(str(text))
            self._length += len(text)

    def flush(self) -> None:
        """Does nothing: a reply may have several segments."""

    def end(self, speech: object) -> None:
        """Forgets the words of a speech that has ended; those of another one stay."""
        if speech is self._speech:
            self.clear()

    def clear(self) -> None:
        self._parts.clear()
        self._length = 0
