"""Measures how long a caller waits for the agent's voice, and what a failing model changes."""
