"""Conversations with the router, over the HTTP API: stored there, or held here alone."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from llm_router.api_client import ApiClient
from llm_router.errors import ConflictError, NotFoundError, RouterError

LONGEST_MESSAGE = 100_000
"""Characters of a message, which the API takes as well."""
_LONGEST_REPLY = 2_000_000
"""Characters after which a reply is broken off here, whatever sends it."""
_STOP_WITHIN = 5.0
"""Seconds for the API to answer that a reply is ended: until then no message can be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The model that is asked, and how.

    `parameters` are those of the API; absent ones are the connection's own.
    """

    model: str = "auto"
    system_prompt: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was sent before. `problem` says why a reply was broken off."""

    role: Literal["user", "assistant"]
    text: str
    route: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """The next words of a reply."""

    text: str


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a reply: the way that it took, and the problem if it is not whole."""

    route: str = ""
    problem: str = ""


Reply = AsyncGenerator[Words | Ending, None]


class Conversation(Protocol):
    """A conversation. One reply at a time; `options` hold from the next one on."""

    options: Options
    title: str
    id: str
    """Names the stored chat; empty: nothing is stored."""
    messages: Sequence[Message]
    """The messages that there were when it was opened."""

    def ask(self, text: str) -> Reply:
        """Sends a message and yields the reply; the last step is its Ending. Raises RouterError.

        Closing it breaks the reply off.
        """

    async def stop(self) -> bool:
        """Ends a reply that was broken off, where it is still being written. Raises RouterError.

        Returns whether one was broken off. Cancelled, it can be asked for again.
        """

    async def change(self, options: Options) -> None:
        """Sets the options. Raises RouterError."""


class HeldConversation:
    """A conversation that is stored nowhere: each request has the whole of it."""

    def __init__(self, api: ApiClient, options: Options) -> None:
        self.options = options
        self.title = "not stored"
        self.id = ""
        self.messages: Sequence[Message] = ()
        self._api = api
        self._turns: list[dict[str, str]] = []

    async def ask(self, text: str) -> Reply:
        question = {"role": "user", "content": text}
        prompt = self.options.system_prompt
        body = {
            **self.options.parameters,
            "model": self.options.model,
            "messages": [
                *([{"role": "system", "content": prompt}] if prompt else []),
                *self._turns,
                question,
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "patchbay": {"receipt": True},
        }
        said, ending = "", Ending()
        try:
            async with aclosing(self._api.stream_completion(body)) as frames:
                async for frame in frames:
                    if words := _words_of(frame):
                        said += words
                        yield Words(words)
                    ending = _ending_of(frame, ending)
                    if len(said) > _LONGEST_REPLY:
                        ending = replace(ending, problem="the reply does not end")
                    if ending.problem:
                        break
        except RouterError as error:
            ending = replace(ending, problem=str(error))
        finally:
            if said:
                self._turns += [question, {"role": "assistant", "content": said}]
        yield ending

    async def stop(self) -> bool:
        """Does nothing: a reply ends with its request."""
        return False

    async def change(self, options: Options) -> None:
        self.options = options


class StoredConversation:
    """A conversation that the API stores, from its first message on."""

    def __init__(self, api: ApiClient, options: Options) -> None:
        self.options = options
        self.title = "new chat"
        self.id = ""
        self.messages: Sequence[Message] = ()
        self._api = api
        self._running: int | None = None
        """The number of the reply that is being written; 0: not known yet; None: there is none."""

    @classmethod
    async def open(cls, api: ApiClient, chat_id: str) -> "StoredConversation":
        """Opens a stored chat on the path that is shown. Raises RouterError."""
        chat = await api.request("GET", f"/chats/{chat_id}")
        given = {n: v for n, v in chat["parameters"].items() if v not in (None, [])}
        conversation = cls(
            api,
            Options(model=chat["model"], system_prompt=chat["system_prompt"], parameters=given),
        )
        conversation.title = chat["title"]
        conversation.messages = [_message_of(each) for each in chat["path"]]
        conversation.id = chat_id
        conversation._running = _running_in(chat["path"])
        return conversation

    async def ask(self, text: str) -> Reply:
        if not self.id:
            chat = await self._api.request("POST", "/chats", self._body())
            self.id = str(chat["id"])
        self._running = 0
        events = self._api.send_for_events(f"{self._path}/messages", {"content": text})
        ending = Ending(problem="the reply broke off; send the message again")
        try:
            async with aclosing(events):
                async for _, name, data in events:
                    if name == "question":
                        self._running = data["reply"]
                        self.title = data["title"]
                    elif name == "text":
                        yield Words(str(data["text"]))
                    elif name == "end":
                        self._running = None
                        ending = Ending(route_text(data["route"]), data["problem"])
                    elif name == "error":
                        ending = Ending(problem=str(data["detail"]))
        except RouterError as error:
            ending = Ending(problem=str(error))
        yield ending

    async def stop(self) -> bool:
        if self._running is None:
            return False
        with suppress(ConflictError, NotFoundError):  # it has ended by itself, or its chat is gone
            if number := self._running or await self._find_running():
                path = f"{self._path}/messages/{number}/stop"
                await self._api.request("POST", path, timeout=_STOP_WITHIN)
        self._running = None  # only now: cancelled before, it is to be asked again
        return True

    async def _find_running(self) -> int | None:
        chat = await self._api.request("GET", self._path, timeout=_STOP_WITHIN)
        return _running_in(chat["path"])

    async def change(self, options: Options) -> None:
        self.options = options
        if self.id:
            await self._api.request("PATCH", self._path, self._body())

    @property
    def _path(self) -> str:
        return f"/chats/{self.id}"

    def _body(self) -> dict[str, Any]:
        return {
            "model": self.options.model,
            "system_prompt": self.options.system_prompt,
            "parameters": dict(self.options.parameters),
        }


def route_text(route: Mapping[str, Any] | None) -> str:
    """Returns the way that a reply took, in one line; `route` is that of a stored message."""
    if not route or not route["connection"]:
        return ""
    parts = [str(route["connection"])]
    if route["first_word"] is not None:
        parts.append(f"first word {route['first_word']:.2f} s")
    if route["attempts"] > 1:
        parts.append(f"{route['attempts']} attempts")
    return " · ".join(parts)


def _running_in(path: Sequence[Mapping[str, Any]]) -> int | None:
    """Returns the number of the reply that is being written in a chat; None: there is none."""
    return path[-1]["number"] if path and path[-1]["status"] == "running" else None


def _message_of(item: Mapping[str, Any]) -> Message:
    return Message(item["role"], item["content"], route_text(item["route"]), item["problem"])


def _words_of(frame: Any) -> str:
    """Returns the words of a frame; those of a server that is none of ours may have any form."""
    try:
        return str(frame["choices"][0]["delta"].get("content") or "")
    except (KeyError, IndexError, TypeError, AttributeError):
        return ""


def _ending_of(frame: Any, before: Ending) -> Ending:
    if not isinstance(frame, dict):
        return replace(before, problem="the server sent what is no reply; correct the address")
    if error := frame.get("error"):
        message = error.get("message") if isinstance(error, dict) else error
        return replace(before, problem=str(message))
    if receipt := frame.get("patchbay"):
        tries = receipt["attempts"]
        won = next((each for each in tries if each["outcome"] == "won"), None)
        first = won["first_word_ms"] if won else None
        route = {
            "connection": receipt["connection"],
            "first_word": None if first is None else first / 1000,
            "attempts": len(tries),
        }
        return replace(before, route=route_text(route))
    return before
