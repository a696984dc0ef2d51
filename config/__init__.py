"""The settings of the agent's processes, prompts and phrases, and files of connections.

Only the modules that `.importlinter` lists under "Only entry points read settings" import this
package; all others are handed plain values.
"""
