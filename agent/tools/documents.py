"""`documents`: looks up what a folder of texts says, such as the opening hours of a shop."""

import asyncio
from collections.abc import Sequence

from agent.toolbox.documents import Passage
from agent.toolbox.tool import Tool, tool
from agent.tools.base import ToolContext

_MAX_QUESTION = 500  # characters


def create(context: ToolContext) -> Sequence[Tool]:
    """Makes the tool where there are texts; a model is offered none that finds nothing."""
    if (documents := context.documents) is None or documents.is_empty:
        return []
    context.effects.only_reads("search_documents")

    @tool
    async def search_documents(question: str) -> str:
        """Looks up facts about this business: hours, prices, address, services, rules.

        Use it before you say that you do not know, and answer only with what it says.

        Args:
            question: the caller's question, or its words that matter
        """
        found = await asyncio.to_thread(documents.search, question[:_MAX_QUESTION])
        cited = [f"{part.text} [{_place(part)}]" for part in found]
        return "\n".join(cited) or "The documents say nothing about that."

    return [search_documents]


def _place(part: Passage) -> str:
    return f"{part.file}, {part.heading}" if part.heading else part.file
