"""Serves chat completions in the form of OpenAI's API, for every program that speaks it.

Here belongs what turns a request into one of the router and its chunks into frames, and what every
form of the API shares: the answer, from the request to its last byte, its places and its end when
the client leaves. The other forms have packages beside this one. The routes are in
`gateway/routes`; which endpoint answers is decided in `routing`, as for a call.
"""
