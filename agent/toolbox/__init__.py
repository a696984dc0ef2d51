"""Runs the tools of a call: what every tool needs, and tools that a user declares without Python.

Here belong HTTP requests and MCP servers as tools, the rule that nothing is done twice, and the
speech that covers a slow tool. Tools in Python are modules of `agent.tools`.
"""
