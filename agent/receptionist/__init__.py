"""The receptionist: a voice without a model for callers whose agent is not there yet.

It joins a room in a moment: it needs no model and no recogniser, and one process serves all
callers. It says that the caller is being connected, or which place in the queue they have, and
leaves when the agent comes. Nothing in this package takes part in a conversation.
"""
