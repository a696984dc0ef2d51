"""Authenticates one API key that is set in the environment, besides those that are stored."""

from datetime import UTC, datetime

from llm_router.clock import Clock, SystemClock
from llm_router.store.api_keys import ApiKey, ApiKeys
from llm_router.store.database import Database
from llm_router.store.key_format import digest, matches

FIXED_KEY_ID = "fixed"
"""The id for which its requests are counted; ids of stored keys are longer."""


class KeysWithFixed(ApiKeys):
    """The stored API keys and a fixed one, which passes the same checks.

    `text` is the key, and `setting` names the variable that holds it, for messages and for the
    audit log. It has the role operator and neither owner nor team, so it reaches what is visible to
    everyone. It is known while the database is away, is in no list, and opens no session.
    """

    def __init__(
        self, database: Database, text: str, setting: str, clock: Clock | None = None
    ) -> None:
        super().__init__(database, clock)
        self._digest = digest(text)
        self._fixed = ApiKey(
            id=FIXED_KEY_ID,
            name=setting,
            last4=text[-4:],
            role="operator",
            created_by=setting,
            created_at=datetime.fromtimestamp((clock or SystemClock()).wall(), UTC),
        )

    async def authenticate(self, text: str) -> ApiKey | None:
        if matches(text, self._digest):
            return self._fixed
        return await super().authenticate(text)
