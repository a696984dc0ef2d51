"""Holds the telephone: setting up LiveKit's SIP service and its doctor; and, for calls, callers,
keypads, opening hours and voicemail.

A call by telephone is a call like any other with a participant that LiveKit's SIP service has let
in. Records and rules are in `llm_router/voice/phone`. Nothing in this package decides what a model
says; the tools it may call are in `agent/tools`.
"""
