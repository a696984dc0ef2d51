"""Holds what a person can do with connections: probe one, generate a text, pull a model.

Use-cases take plain arguments and raise the plain errors of `llm_router.errors`. HTTP routes, the
command line and the SDK are doors to them. Nothing here knows about HTTP status codes, forms or
terminals.
"""
