"""Asks real model engines, direct and through the router."""
