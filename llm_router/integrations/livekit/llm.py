"""`RouterLLM`: LiveKit's `llm.LLM` over a router."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import APIConnectOptions, llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from llm_router.integrations.livekit.node import SIDE_QUESTION, SPOKEN, Place, place_of
from llm_router.integrations.livekit.opening import LazyRouter, Opener
from llm_router.integrations.livekit.request import Asked, ResponseFormat
from llm_router.integrations.livekit.stream import RouterStream
from llm_router.routing.events import ReplyEvent
from llm_router.routing.router import Router


class RouterLLM(llm.LLM[Any]):
    """A language model answered by a router: for an AgentSession, and for any side question.

    Where a reply is asked for decides what becomes of a failure (see `node`). In the LLM node of a
    session with a voice the caller hears a phrase, and an error event tells the program. Everywhere
    else (summaries, judges, `collect()`, a session without a voice, inside a FallbackAdapter) the
    error is raised, never a phrase given as data. `speech` overrules that: True, every reply is
    spoken; False, none is. `text` is this LLM for side questions inside a node of one's own.

    `model` and `provider` name the connection that answered last. LiveKit's own retries are off:
    the router has already tried every endpoint, and a retry would speak words twice.

    `router` is a router that is open, and stays so when this is closed; or a context manager that
    is entered on first use and left on close. If it cannot be entered, the next use tries again.
    `pool` limits every request to the connections of one pool. `account` is the API key or the
    site that its tokens and its cost are counted for, `assistant` the one that speaks, by which
    usage can be compared. `among` returns, at each request, the names of the only connections that
    may answer it; None: any. `options` go along with every request, such as a temperature.
    """

    def __init__(
        self,
        router: Router | Opener | LazyRouter,
        *,
        session_id: str = "",
        language: str = "en",
        speech: bool | None = None,
        pool: str | None = None,
        account: str = "",
        assistant: str = "",
        among: Callable[[], frozenset[str] | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._is_owner = not isinstance(router, LazyRouter)
        self._lazy = router if isinstance(router, LazyRouter) else LazyRouter(router)
        self._session_id = session_id
        self.language = language
        self._speech = speech
        self._pool = pool
        self._account = account
        self._assistant = assistant
        self._among = among
        self._options = options or {}
        self._model = ""
        self._connection = "patchbay"

    @property
    def model(self) -> str:
        return self._model or "router"

    @property
    def provider(self) -> str:
        return self._connection

    @property
    def text(self) -> "RouterLLM":
        """The same router for side questions, wherever they are asked."""
        return RouterLLM(
            self._lazy,
            session_id=self._session_id,
            language=self.language,
            speech=False,
            pool=self._pool,
            account=self._account,
            assistant=self._assistant,
            among=self._among,
            options=self._options,
        )

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        response_format: NotGivenOr[ResponseFormat] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        asked = Asked(
            chat_ctx=chat_ctx,
            tools=tools or [],
            conn_options=conn_options,
            parallel_tool_calls=parallel_tool_calls,
            tool_choice=tool_choice,
            response_format=response_format,
            extra_kwargs={
                **self._options,
                **(extra_kwargs if utils.is_given(extra_kwargs) else {}),
            },
            pool=self._pool,
            among=self._among() if self._among else None,
            account=self._account,
            assistant=self._assistant,
        )
        return RouterStream(
            self,
            self._lazy,
            asked,
            place=self._place(asked),
            language=self.language,
            session_id=self._session_id,
        )

    def _place(self, asked: Asked) -> Place:
        if self._speech is not None:
            place = SPOKEN if self._speech else SIDE_QUESTION
        else:
            place = place_of(self)
        # An answer in a given form is data, also where a voice reads a part of it.
        return dataclasses.replace(place, phrases=False) if asked.format else place

    async def _prewarm_impl(self) -> None:
        await (await self.opened()).warm()

    @property
    def router(self) -> Router:
        """The router. Raises RuntimeError while a context manager is not entered; see `opened`."""
        return self._lazy.router

    async def opened(self) -> Router:
        """Returns the router, and enters its context manager first where that is still to do."""
        return await self._lazy.opened()

    async def aclose(self) -> None:
        await super().aclose()
        if self._is_owner:
            await self._lazy.aclose()

    def note_answer(self, event: ReplyEvent) -> None:
        """Remembers the connection that answered, for `model` and `provider`."""
        self._model = event.model
        self._connection = event.connection or "patchbay"
