"""Transfers of a caller to a person: cold, by the caller's own line, or warm, in the call's room.

In a cold one the caller's telephone calls the person, and the call with the agent ends. In a warm
one the agent dials the person into the room, briefs them alone, and leaves the two to each other.
`steps.py` and `verdict.py` decide, and are pure; the others carry it out. Which person may be
called, the tool that a model calls decides (`agent/tools/transfer.py`).
"""
