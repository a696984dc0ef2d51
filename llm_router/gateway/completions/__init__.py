"""Serves chat completions in the form of OpenAI's API, for every program that speaks it.

Here belongs what turns a request into one of the router and its chunks into frames, and what ends
a reply whose client has left. The routes are in `gateway/routes`; which endpoint answers is decided
in `routing`, as for a call.
"""
