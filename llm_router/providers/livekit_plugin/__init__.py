"""Uses any LiveKit `llm.LLM`: a plugin that the connection names, or an object.

`provider` runs the requests and `plugins` lists how each plugin differs. `chat` translates the
conversation and the tools, `errors` the errors; `bedrock` holds the AWS session.
"""

from llm_router.providers.livekit_plugin.provider import create

__all__ = ["create"]
