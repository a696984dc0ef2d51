"""Holds what speech engines share: their options, and the rules by which one replaces another.

Here belongs what more than one engine of `agent.stt` or `agent.tts` needs. An engine itself is a
module in one of those folders, which may import this package but not each other.
"""
