"""Makes LiveKit's API and the rescuer of calls from the settings, for every process alike."""

from contextlib import suppress

from agent.livekit_server import LiveKitServer
from agent.phrase_file import load_phrases
from agent.receptionist.queue import ATTRIBUTES, reception_name
from agent.survival.farewell import Voice, farewell_by
from agent.survival.rescuer import Rescuer
from config.settings import Settings
from llm_router.clock import SystemClock
from llm_router.errors import ConfigurationError
from llm_router.store.calls import CallStore

_GOODBYE = "I'm sorry, I cannot go on. Please call again in a few minutes. Goodbye."


def livekit_server(settings: Settings) -> LiveKitServer:
    secret = settings.livekit_api_secret.get_secret_value()
    return LiveKitServer(settings.livekit_url, settings.livekit_api_key, secret)


def make_rescuer(settings: Settings, livekit: LiveKitServer, calls: CallStore) -> Rescuer:
    """Makes a rescuer. Without a file of phrases, which the worker checks, a goodbye is English."""
    language = settings.agent_language
    words = ""
    with suppress(ConfigurationError):
        words = load_phrases(settings.phrases_file).pick("unanswered", language, 0)
    voice = Voice(
        url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        language=language if words else "en",
        words=words or _GOODBYE,
    )
    name = settings.agent_name

    async def cover(room: str) -> bool:
        people = await livekit.people(room)
        if any(ATTRIBUTES.items() <= person.attributes.items() for person in people):
            return True
        await livekit.ensure_agent(room, reception_name(name))
        return False

    return Rescuer(livekit, name, calls, SystemClock(), farewell_by(voice), cover=cover)
