"""Serves `POST /v1/responses`, in the form of the Open Responses specification and OpenAI's API.

Here belongs what turns such a request into one of the router, and a reply into a response or its
events. Nothing is stored: a conversation comes whole with each request.
"""
