"""Loads in each call process, before its call, what takes time to load."""

import asyncio
import logging
import traceback
from dataclasses import dataclass

from livekit.agents import JobProcess, llm
from opentelemetry.sdk.trace import TracerProvider

from agent import assistants
from agent.assistants import KnownAssistants
from agent.call_options import (
    choose_stt,
    choose_tts,
    import_engines,
    load_engines,
    settings_by_language,
    stt_options,
    tts_options,
)
from agent.call_settings import settings_of, store_options
from agent.media_log import turn_off_media_log
from agent.phone.setup_file import PhoneFile
from agent.phrase_file import load_phrases, load_prompt
from agent.rehearsal import rehearse
from agent.session import Engines
from agent.speech.pace import measure_pace_by_loudness
from agent.telemetry import send_traces, share_metrics
from agent.toolbox.documents import Documents, load_documents
from agent.turn_metrics import TurnMetrics
from agent.worker_folder import call_starts, metrics_folder
from config.settings import Settings, load_settings
from llm_router import stored_router
from llm_router.clock import SystemClock
from llm_router.errors import ConfigurationError, RouterError
from llm_router.routing.events import Observer
from llm_router.routing.phrases import Phrases
from llm_router.settings.loading import SettingsError, environment
from llm_router.stored_router import KnownConnections
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver, get_tracer
from llm_router.telemetry.prometheus import PrometheusObserver

_logger = logging.getLogger("agent")

_RESOURCES = "patchbay"
_PAUSE = 2.0
"""Seconds that a process waits before it ends, if the one before it did not come up either."""


class StartError(Exception):
    """The process cannot answer a call. The message says why and goes to the worker's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResources:
    """Everything that a process loads before its call, so that the caller need not wait for it."""

    settings: Settings
    engines: Engines
    phrases: Phrases
    instructions: str
    known: KnownConnections
    """Connections as they were when the process started."""
    assistants: KnownAssistants
    """Assistants as they were then."""
    phone: PhoneFile
    """Numbers, opening hours and lines of the telephone."""
    documents: Documents | None
    """Texts that the agent may search."""
    tracing: TracerProvider | None
    observers: tuple[Observer, ...]
    turns: TurnMetrics | None = None
    """Counts the turns of the call; None: no metrics are published."""


def prewarm(process: JobProcess) -> None:
    """Loads the resources of the call that the process will answer; see `resources_of`.

    The first process of a worker also rehearses the call's speech. Raises StartError, which ends
    the process and tells the worker why.
    """
    measure_pace_by_loudness()
    llm.ChatMessage.model_rebuild()  # pydantic finishes it at its first use: no caller waits for it
    starts = call_starts()
    failures = starts.failures
    try:
        settings = load_settings()
        if settings.log_level != "DEBUG":
            turn_off_media_log()
        with starts.rehearsal() as is_due:
            if is_due:
                asyncio.run(_rehearse(settings, process.http_proxy))
        process.userdata[_RESOURCES] = _load(settings)
    except Exception as error:
        if starts.is_failing:  # LiveKit starts the next process at once: it would do nothing else
            asyncio.run(SystemClock().sleep(_PAUSE))
        raise StartError(_reason(error)) from error
    starts.succeeded(failures)


def _reason(error: Exception) -> str:
    """Returns what the worker logs: a sentence, and for a bug where it happened."""
    if isinstance(error, RouterError | SettingsError | OSError):
        return str(error)
    return "".join(traceback.format_exception(error)).strip()


def _load(settings: Settings) -> JobResources:
    known = asyncio.run(_known_assistants(settings))
    for record in known.all.values():
        own = settings_of(settings, record)
        for one in (own, *settings_by_language(own, record).values()):
            import_engines(one)
    phone = PhoneFile(settings.phone_file, environment())
    phone.read()
    tracing = _start_tracing(settings)
    return JobResources(
        settings=settings,
        engines=load_engines(settings),
        phrases=load_phrases(settings.phrases_file),
        instructions=load_prompt(settings.assistant_prompt_file),
        known=asyncio.run(stored_router.load_known(store_options(settings), environment())),
        assistants=known,
        phone=phone,
        documents=load_documents(settings.documents_folder),
        tracing=tracing,
        observers=_observers(settings, tracing),
        turns=TurnMetrics() if settings.prometheus_port else None,
    )


async def load_assistants(settings: Settings) -> KnownAssistants:
    """Reads the assistants that there are. Raises ConfigurationError."""
    return await assistants.load_known(
        store_options(settings), settings.assistants_file, environment()
    )


async def _known_assistants(settings: Settings) -> KnownAssistants:
    """Reads the assistants; a file that was spoilt after the worker's start ends no call."""
    try:
        return await load_assistants(settings)
    except ConfigurationError as error:
        _logger.error(  # noqa: TRY400  the message says it all
            "ASSISTANTS_FILE cannot be read, so this call process uses stored assistants only;"
            " correct the file: %s",
            error,
        )
        return await assistants.load_known(store_options(settings), None, {})


def resources_of(process: JobProcess) -> JobResources:
    """Returns what `prewarm` has loaded in this process."""
    resources: JobResources = process.userdata[_RESOURCES]
    return resources


async def _rehearse(settings: Settings, proxy: str | None) -> None:
    await rehearse(
        choose_tts(settings).engine,
        tts_options(settings),
        choose_stt(settings).engine,
        stt_options(settings),
        proxy,
    )


def _start_tracing(settings: Settings) -> TracerProvider | None:
    endpoint = settings.otel_exporter_otlp_endpoint
    return send_traces(endpoint) if endpoint else None


def _observers(settings: Settings, tracing: TracerProvider | None) -> tuple[Observer, ...]:
    """Makes the observers that the settings ask for; one that is off costs nothing."""
    observers: list[Observer] = []
    if settings.prometheus_port:
        share_metrics(metrics_folder())
        observers.append(PrometheusObserver())
    if tracing:
        observers.append(OpenTelemetryObserver(get_tracer(tracing)))
    return tuple(observers)
