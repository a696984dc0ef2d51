"""Serves `POST /v1/messages`, in the form of Anthropic's API, for the programs that speak it.

Here belongs what turns such a request into one of the router, and a reply into a message or its
events. Errors of these routes have Anthropic's form: `gateway/errors.py`.
"""
