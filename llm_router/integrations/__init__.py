"""Adapts the router to the frameworks that use it, one module per framework.

Here belongs the code that speaks a framework's own interface. Nothing else in `llm_router` imports
LiveKit, except the provider that wraps LiveKit's plugins.
"""

try:
    import livekit.agents  # noqa: F401  only to say what is missing
except ModuleNotFoundError as error:
    raise ImportError(
        "llm_router.integrations needs livekit-agents: install the router with its extra, in a"
        " checkout of Patchbay: pip install './llm_router[livekit]'"
    ) from error
