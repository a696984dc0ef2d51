"""Builds the messages of a conversation from pieces: words, tool calls and their results. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Part = Mapping[str, Any]
"""A text or an image, as a part of a message in the form of chat completions."""


class Turns:
    """Collects the messages of chat completions from a form of API that has no such messages.

    Calls belong to the assistant's words before them, and results directly follow the calls. No
    server takes images in a result: they come after the results, as the user's.
    """

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._images: list[Part] = []

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        self._show_images()
        return self._messages

    def say(self, role: str, content: str | Sequence[Part]) -> None:
        """Adds a message. A list of texts alone becomes one text, as every server takes it."""
        self._show_images()
        between = "" if role == "assistant" else "\n"
        self._messages.append({"role": role, "content": _plain(content, between)})

    def call(self, call: Mapping[str, Any]) -> None:
        """Adds a tool call of the assistant's."""
        self._show_images()
        if not (self._messages and self._messages[-1]["role"] == "assistant"):
            self._messages.append({"role": "assistant", "content": None})
        self._messages[-1].setdefault("tool_calls", []).append(call)

    def result(self, call_id: str, content: str | Sequence[Part]) -> None:
        """Adds the result of a tool call."""
        texts = content
        if not isinstance(content, str):
            self._images += [part for part in content if part["type"] != "text"]
            texts = [part for part in content if part["type"] == "text"]
        self._messages.append(
            {"role": "tool", "tool_call_id": call_id, "content": _plain(texts, "\n")}
        )

    def _show_images(self) -> None:
        if self._images:
            self._messages.append({"role": "user", "content": self._images})
            self._images = []


def text_part(text: str) -> Part:
    return {"type": "text", "text": text}


def image_part(url: str, detail: str | None = None) -> Part:
    image = {"url": url} if detail is None else {"url": url, "detail": detail}
    return {"type": "image_url", "image_url": image}


def _plain(content: str | Sequence[Part], between: str) -> str | Sequence[Part]:
    if isinstance(content, str) or any(part["type"] != "text" for part in content):
        return content
    return between.join(part["text"] for part in content)
