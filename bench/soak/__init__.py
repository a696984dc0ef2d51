"""Runs the router under faults for half an hour and counts what it still holds afterwards."""
