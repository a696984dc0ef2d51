"""Stored connections, assistants and calls for scripts: one interface over database and HTTP.

    async with await get_connection("Local Ollama") as ollama:
        answer = await ollama.generate("A haiku about tea.", temperature=0.7)
        print(answer.text, answer.usage, answer.duration)

Without an address the settings decide: PATCHBAY_API_URL with PATCHBAY_API_KEY, else DATABASE_URL.
Over the database a script has the rights of an admin, since the machine holds the master key. Over
HTTP it has the role of its API key, and the keys of connections stay on the server: the HTTP
process carries out `generate`, and an LLM for LiveKit cannot be made.
"""

from llm_router.management.generate import Generated
from llm_router.sdk.manager import ConnectionManager, ManagedConnection, UseFlags, get_connection

__all__ = ["ConnectionManager", "Generated", "ManagedConnection", "UseFlags", "get_connection"]
