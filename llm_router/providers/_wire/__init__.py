"""Shares what several providers need on the way to a server.

Here belong HTTP with its errors, server-sent events, bodies of requests and replies, and the wait
while a model is loaded.
"""
