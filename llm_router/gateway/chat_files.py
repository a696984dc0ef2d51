"""Writes a chat as a Markdown file. Pure."""

from collections.abc import Iterable

from llm_router.store.chat_tree import ChatMessage, ChatTree


def to_markdown(tree: ChatTree) -> str:
    """Returns the path that is shown, a section for each message."""
    chat = tree.chat
    parts = [f"# {chat.title or 'Chat'}"]
    if chat.system_prompt:
        parts += ["## System", chat.system_prompt]
    parts += _sections(tree.path)
    return "\n\n".join(parts) + "\n"


def _sections(path: Iterable[ChatMessage]) -> Iterable[str]:
    for message in path:
        if message.role == "user":
            yield "## User"
        else:
            name = message.route.get("model") or message.route.get("connection")
            yield f"## Assistant ({name})" if name else "## Assistant"
        if message.content:
            yield message.content
        if message.status == "broken_off":
            yield f"*(broken off: {message.problem})*"
