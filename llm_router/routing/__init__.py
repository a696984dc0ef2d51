"""Decides which endpoint answers a reply, and carries that decision out.

Here belong the router, its attempts, and every rule they go by: order, hedging, failover, resume,
breakers, latency, budgets and limits. The rules are pure; only `router`, `reply`, `attempt`,
`mailbox`, `draining` and `forwarding` await. Nothing here depends on the storage of connections or
on the client of a reply: no database, no HTTP framework, no LiveKit.
"""
