"""Loads what replies in writing share: assistants, texts, phrases, and the router."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from math import inf

from agent import assistants
from agent.budget import CallLimits
from agent.call_settings import (
    call_limits,
    router_options,
    settings_of,
    store_options,
    within,
    worker_name,
)
from agent.dispatch import SiteTerms
from agent.phrase_file import load_phrases, load_prompt
from agent.toolbox.documents import Documents, load_documents
from config.settings import Settings
from llm_router.clock import Clock
from llm_router.management.shared_router import SharedRouter
from llm_router.routing.events import Observer
from llm_router.routing.phrases import Phrases
from llm_router.routing.router import Router
from llm_router.store.database import Database
from llm_router.stored_router import KnownConnections, load_known, open_stored_router
from llm_router.voice.assistant import DEFAULT, AssistantRecord
from llm_router.voice.calls import Keep

_REMEMBERED = 5.0
"""Seconds for which an assistant is remembered, and so until a change of it holds."""

OpenRouter = Callable[[str], AbstractAsyncContextManager[Router]]
"""Opens the router with a policy."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """An assistant as it answers, with the settings of its conversations."""

    record: AssistantRecord
    settings: Settings
    instructions: str

    def limits(self, terms: SiteTerms | None) -> CallLimits:
        return call_limits(self.settings, self.record, terms)

    @property
    def keep(self) -> Keep:
        """The part of its conversations that stays stored."""
        return self.record.keep or self.settings.call_retention

    @property
    def redacts_cards(self) -> bool:
        own = self.record.redact_card_numbers
        return self.settings.redact_card_numbers if own is None else own

    @property
    def languages(self) -> Sequence[str]:
        """Its languages, the usual one first."""
        return (self.settings.agent_language, *self.settings.agent_other_languages)

    @property
    def greeting(self) -> str | None:
        """First words; empty: it waits for the visitor's; None: the usual ones."""
        return self.settings.agent_greeting


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    instructions: str
    phrases: Phrases
    documents: Documents | None
    connections: KnownConnections | None


class TextSetup:
    """The parts that all replies of a process share, loaded at the first use. `aclose` ends them.

    `open_router` takes the place of the router over the stored connections, as in tests.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: Clock,
        environ: Mapping[str, str],
        *,
        observers: Sequence[Observer] = (),
        open_router: OpenRouter | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._environ = environ
        self._observers = observers
        self._open_router = open_router
        self._loading = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._loaded: _Loaded | None = None
        self._known = assistants.KnownAssistants()
        self._read_at: dict[str, float] = {}
        self._routers: dict[str, SharedRouter] = {}

    async def prepare(self) -> None:
        """Loads everything, and opens TLS to the model servers. Raises RouterError."""
        await self._load()
        router = await self.router(self._settings.router_policy)
        await router.warm()

    async def answerer(self, name: str, terms: SiteTerms | None) -> Answerer:
        """Returns the assistant of that name as it is now, within what a site allows.

        Raises ConfigurationError for files that cannot be used.
        """
        loaded = await self._load()
        name = name or DEFAULT
        if self._is_due(name):
            async with self._reading:  # once for all who ask meanwhile
                if self._is_due(name):
                    await self._read_again(name)
        return self._answerer(within(self._known.find(name), terms, self._settings), loaded)

    async def answerer_of(self, record: AssistantRecord) -> Answerer:
        """Returns an assistant that nothing else has to know, such as one that is tried."""
        return self._answerer(record, await self._load())

    def _answerer(self, record: AssistantRecord, loaded: _Loaded) -> Answerer:
        own = record.instructions
        return Answerer(
            record,
            settings_of(self._settings, record),
            loaded.instructions if own is None else own,
        )

    def _is_due(self, name: str) -> bool:
        return self._clock.now() - self._read_at.get(name, -inf) >= _REMEMBERED

    async def _read_again(self, name: str) -> None:
        options = store_options(self._settings)
        self._known = await assistants.refresh(self._known, self._database, options, name)
        self._read_at[name] = self._clock.now()

    async def router(self, policy: str) -> Router:
        """Returns the router with a policy. Raises RouterError."""
        if policy not in self._routers:
            opening = partial(self._open_router or self._open_stored, policy)
            self._routers[policy] = SharedRouter(opening)
        return await self._routers[policy].get()

    @property
    def worker(self) -> str:
        """Name of this process among all that write."""
        return worker_name(self._settings)

    @property
    def secret(self) -> str:
        """Key under which the addresses of visitors are hashed."""
        return self._settings.livekit_api_secret.get_secret_value()

    @property
    def phrases(self) -> Phrases:
        return self._loaded.phrases if self._loaded else Phrases()

    @property
    def documents(self) -> Documents | None:
        return self._loaded.documents if self._loaded else None

    async def aclose(self) -> None:
        for router in self._routers.values():
            await router.aclose()

    async def _load(self) -> _Loaded:
        if self._loaded is None:
            async with self._loading:
                if self._loaded is None:
                    self._loaded = await self._read_all(self._environ)
        return self._loaded

    async def _read_all(self, environ: Mapping[str, str]) -> _Loaded:
        settings, options = self._settings, store_options(self._settings)
        instructions = await asyncio.to_thread(load_prompt, settings.assistant_prompt_file)
        phrases = await asyncio.to_thread(load_phrases, settings.phrases_file)
        documents = await asyncio.to_thread(load_documents, settings.documents_folder)
        self._known = await assistants.load_known(options, settings.assistants_file, environ)
        connections = None if self._open_router else await load_known(options, environ)
        return _Loaded(
            instructions=instructions,
            phrases=phrases,
            documents=documents,
            connections=connections,
        )

    def _open_stored(self, policy: str) -> AbstractAsyncContextManager[Router]:
        loaded = self._loaded
        assert loaded is not None  # noqa: S101  `answerer` and `prepare` load first
        assert loaded.connections is not None  # noqa: S101  read where no other router is opened
        return open_stored_router(
            store_options(self._settings),
            loaded.connections,
            policy=policy,
            options=router_options(self._settings),
            phrases=loaded.phrases,
            observers=self._observers,
            database=self._database,
        )
