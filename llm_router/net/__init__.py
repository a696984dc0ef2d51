"""Carries bytes to a model server, and refuses addresses that may not be called.

Here belong the network under the HTTP client and the check of addresses. Nothing here knows what
the bytes mean: wires belong to `providers`.
"""
