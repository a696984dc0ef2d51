"""Passes on the requests below /v1 that are not chat: embeddings, speech, transcriptions.

Here belongs what makes such a request fit the connection that it goes to, and what sends the answer
to the client as it comes. Which endpoint is asked is decided in `routing/forwarding.py`.
"""
