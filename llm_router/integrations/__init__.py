"""Adapts the router to the frameworks that use it, one module per framework.

Here belongs the code that speaks a framework's own interface. Nothing else in `llm_router` imports
LiveKit, except the provider that wraps LiveKit's plugins.
"""
