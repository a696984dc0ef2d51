"""Reads requests for chat completions in the forms of older programs. Pure."""

from dataclasses import replace

from llm_router.gateway.completions.body import read_body
from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.request import chat_call
from llm_router.gateway.schemas.local_llm import LocalChatCreate, OlderChatCreate


def read_older_call(body: bytes, key_id: str) -> Call:
    """Reads a request that is streamed unless it says otherwise, and needs no model.

    Raises ChatProblem (400), as do the others.
    """
    fields = read_body(body, OlderChatCreate)
    return replace(chat_call(fields, key_id), is_streamed=fields.stream is not False)


def read_whole_call(body: bytes, key_id: str) -> Call:
    """Reads a request for a whole reply, perhaps of one provider, whatever `stream` says."""
    fields = read_body(body, LocalChatCreate)
    call = chat_call(fields, key_id)
    return replace(call, is_streamed=False, provider=fields.provider or "")


def read_streamed_call(body: bytes, key_id: str) -> Call:
    """Reads the same for a streamed reply."""
    return replace(read_whole_call(body, key_id), is_streamed=True)
