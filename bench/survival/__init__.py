"""Measures what a caller notices when the agent of a call dies, hangs or is to leave."""
