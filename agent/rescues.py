"""Makes the rescuer of calls from the settings, for workers and HTTP processes alike."""

from agent.livekit_server import LiveKitServer
from agent.phrase_file import load_phrases
from agent.survival.farewell import Voice, farewell_by
from agent.survival.rescuer import Rescuer
from config.settings import Settings
from llm_router.clock import SystemClock
from llm_router.store.calls import CallStore


def make_rescuer(settings: Settings, livekit: LiveKitServer, calls: CallStore) -> Rescuer:
    """Makes a rescuer. Raises ConfigurationError for a file of phrases that cannot be used."""
    language = settings.agent_language
    voice = Voice(
        url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        language=language,
        words=load_phrases(settings.phrases_file).pick("unanswered", language, 0),
    )
    return Rescuer(livekit, settings.agent_name, calls, SystemClock(), farewell_by(voice))
