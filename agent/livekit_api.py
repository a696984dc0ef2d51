"""Opens LiveKit's server API for requests that must happen once."""

import warnings

import aiohttp
from jwt import InsecureKeyLengthWarning
from livekit import api


def open_api(
    url: str, api_key: str, api_secret: str, *, session: aiohttp.ClientSession | None = None
) -> api.LiveKitAPI:
    """Returns the API, to be closed by the caller; a `session` that is given stays open.

    A request that fails is not sent again. With LiveKit Cloud the client would repeat it in up to
    two other regions by itself: a second call to the same telephone, or a second agent.
    """
    # The settings allow a short secret only for a server that nobody else can reach.
    warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)
    return api.LiveKitAPI(url, api_key, api_secret, session=session, failover=False)
