"""Reads the settings of a process from the environment, and documents them.

Only entry points (`agent.worker`, `agent.job`, `agent.api`, the command line, the SDK) import this
package; everything else is handed plain values.
"""
