"""The contenders that answer a caller's question: this router and its peers.

Each is a module that can run as a program, in an environment of its own where it needs one; then
it imports nothing of this repository but `runner`.
"""
