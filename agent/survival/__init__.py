"""Calls that outlive the process of their agent.

A call's agents are numbered by epochs. `black_box` is what an agent leaves behind for its worker,
and `silence` tells from it, and from the calls in the database, who has died: both are pure.
`restore` turns a stored conversation into that of the next agent. `rescuer` calls that agent,
`worker_watch` and `call_watch` notice when one is needed, and `farewell` says goodbye to callers
whom no agent can reach. `orphan` ends a call's process together with its worker. In the next
agent's process, `takeover` reads what is left of the conversation. Nothing here reads settings, and
a call needs none of it while its process lives.
"""
