"""Code that several providers share.

Here belong HTTP and its errors, server-sent events, bodies of requests and replies, prompts for
models without a chat format, and the background load of a model. The underscore keeps this package
out of the provider names.
"""
