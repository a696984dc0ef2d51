"""Serves `POST /v1/completions`, the oldest form of OpenAI's API, for programs that still use it.

Here belongs what turns such a request into one of the router, and a reply into a completion or its
frames. The prompt is put to the model as a user's message: the servers hold conversations.
"""
