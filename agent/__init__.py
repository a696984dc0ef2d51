"""Runs the voice agent: the worker, its calls, and the page's HTTP process.

Here belong calls: sessions, turns, speech engines, fillers, room tokens. Everything about choosing
and asking language models belongs to `llm_router`, which never imports this package.
"""
