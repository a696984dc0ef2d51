"""Carries bytes to a model server, and refuses forbidden addresses.

Here belong the network under the HTTP client and the check of addresses. Nothing here knows what
the bytes mean: protocols belong to `providers`.
"""
