"""Measures the gateway beside LiteLLM's proxy and a bare relay, as clients of all see them."""
