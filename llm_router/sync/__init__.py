"""Keeps the endpoints of a process in step with what other processes know.

Here belong the followers of the store, of shared limits, of a server's queue, and the scoreboard
that carries what was learnt from one call to the next. Nothing here decides whom to ask: that is
`routing`.
"""
