"""Runs speech models in a process of their own, which all calls of a worker share.

Ten calls would otherwise hold ten copies of each model, and a decode in one call would delay the
sound of another. `python -m agent.speech.process` serves HTTP on a Unix socket: `models` has one
module for each kind of model, `schedule` decides whose work is next, `threads` does it, `app`
answers on the socket that `server` opens, `client` asks, and `supervisor` starts the worker's
process again when it dies or hangs.

Nothing here knows LiveKit except the client, whose errors make LiveKit's fallback move on.
"""
