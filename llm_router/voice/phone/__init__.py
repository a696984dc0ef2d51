"""Holds the telephone as data: records of `config/phone.toml`, opening hours, numbers, outcomes.

Everything here is pure, so stores, the API, the command line and the agent share it. What talks to
LiveKit's SIP service is in `agent/phone`.
"""
