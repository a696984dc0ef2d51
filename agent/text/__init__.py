"""Answers visitors who type, over HTTP: the same assistant, tools and router, and no LiveKit.

Each message is answered by the process that receives it, which claims an epoch of the stored call
as an agent of a room does. Here belong that claim, the reply, its readers, and the routes. No
module may import LiveKit's agents, since the HTTP process does not have them in memory.
"""
