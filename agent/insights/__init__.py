"""Receives what LiveKit agents of any make report about their sessions, and stores them as calls.

Belongs here: reading OTLP over HTTP and the store of these calls. The calls of our own agents are
written by their call processes (`agent/call_log.py`).
"""
