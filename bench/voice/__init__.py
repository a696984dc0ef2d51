"""Measures the time from a caller's last sound to the agent's first, in a real room."""
