"""Tries on one's own deployment what has broken other gateways: `llm-router doctor --attack`.

`target` sends requests that no tidy client would; `attempts` has a function for each class of
vulnerability of docs/security.md, `rows` the table of them. All is harmless where it succeeds: what
a row makes, such as a key of a viewer, it removes again.
"""
