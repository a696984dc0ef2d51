"""Translates the events of a LiveKit plugin's reply into chunks."""

from uuid import uuid4

from livekit.agents import llm

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire.arguments import object_text
from llm_router.providers._wire.characters import CharacterJoiner, mend
from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.said import Said
from llm_router.providers._wire.tools import offered_tools
from llm_router.providers.livekit_plugin.chat import with_tools
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage

_LONGEST_ID = 200


class EventParser:
    """Parses one reply, event by event; `close` returns the last chunk.

    Raises BrokenStreamError for a tool call that is cut off, and for one that was not offered.
    """

    def __init__(self, request: ChatRequest, origin: str, machine_text: MachineTextFilter) -> None:
        self.begun = self.useful = self.called = False
        self._ids = _CallIdAllocator(request)
        self._tools = offered_tools(with_tools(request))
        self._origin = origin
        self._said = Said()
        self._joiner = CharacterJoiner()
        self._machine_text = machine_text

    def feed(self, event: llm.ChatChunk) -> Chunk:
        """Returns what an event holds, as far as its words are decided."""
        delta, usage = event.delta, event.usage
        text = self._joiner.feed(delta.content) if delta and delta.content else ""
        words, thought = self._machine_text.feed(text) if text else ("", "")
        calls = delta.tool_calls if delta else ()
        self.begun = True
        return self._noted(
            Chunk(
                self._said.add(words) if words else "",
                thought,
                tuple(map(self._call, calls)),
                usage=_usage(usage) if usage else None,
                request_id=mend(event.id)[:_LONGEST_ID],
            )
        )

    def close(self) -> Chunk:
        """Returns what only the end of the reply completes, calls in its words included."""
        words, thought = self._machine_text.feed(self._joiner.close())
        more, more_thought = self._machine_text.close()
        calls: tuple[ToolCall, ...] = ()
        if not self.called:
            calls = tuple(self._written(*call) for call in self._machine_text.written())
        return self._noted(Chunk(words + more, thought + more_thought, calls))

    def _noted(self, chunk: Chunk) -> Chunk:
        self.useful = self.useful or chunk.useful
        self.called = self.called or bool(chunk.tool_calls)
        return chunk

    def _written(self, name: str, arguments: str) -> ToolCall:
        return self._call(llm.FunctionToolCall(name=name, arguments=arguments, call_id=""))

    def _call(self, call: llm.FunctionToolCall) -> ToolCall:
        name, arguments = self._tools.resolve(mend(call.name)), object_text(call.arguments or "")
        if name is None:
            raise BrokenStreamError("the answer calls a tool that was not offered")
        if arguments is None:
            raise BrokenStreamError(f"a call of {name} with arguments that are no JSON object")
        content = {"extra_content": call.extra}
        extras = {"origin": self._origin, "call": content} if call.extra else None
        return ToolCall(self._ids.allocate(mend(call.call_id)), name, arguments, extras)


class _CallIdAllocator:
    """Gives every tool call an id that is new in the conversation."""

    def __init__(self, request: ChatRequest) -> None:
        self._known_ids = {c["id"] for m in request.messages for c in m.get("tool_calls") or ()}
        if isinstance(request.livekit_context, llm.ChatContext):
            items = request.livekit_context.items
            self._known_ids |= {i.call_id for i in items if isinstance(i, llm.FunctionCall)}

    def allocate(self, wanted: str) -> str:
        # Unchanged where possible: some plugins recognise their own calls by the id.
        is_new = wanted and wanted not in self._known_ids
        call_id = wanted if is_new else f"call_{uuid4().hex}"
        self._known_ids.add(call_id)
        return call_id


def _usage(usage: llm.CompletionUsage) -> Usage:
    return Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.prompt_cached_tokens,
        usage.cache_creation_tokens,
        usage.reasoning_tokens,
    )
