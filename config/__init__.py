"""The settings of the agent's processes, prompts and phrases, and files of connections.

Only entry points (`agent.worker`, `agent.job`, `agent.api`, `agent.checks`) import this package;
everything else is handed plain values.
"""
