"""Asks real model engines, directly and through the router."""
