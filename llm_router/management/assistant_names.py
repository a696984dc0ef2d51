"""Tells which names are no assistant's: neither that of a stored one nor of one in the file."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from llm_router.store.assistants import Assistants
from llm_router.voice.assistant import DEFAULT, AssistantRecord


async def unknown_assistants(
    names: Iterable[str],
    assistants: Assistants,
    read_file: Callable[[], Mapping[str, AssistantRecord]],
) -> set[str]:
    """Returns which of these names are no assistant's. No name stands for the default one.

    Raises StoreError, and ConfigurationError for a file that cannot be understood.
    """
    unknown = {*names} - {"", DEFAULT}
    if unknown:
        unknown -= await assistants.names()
    if unknown:
        unknown -= (await asyncio.to_thread(read_file)).keys()
    return unknown
