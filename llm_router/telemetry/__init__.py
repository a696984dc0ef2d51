"""Reports what the router did: to Prometheus, to OpenTelemetry, to the usage log.

Here belong observers of `routing.events`, one module for each destination, and the task that
reports the endpoints' state to them (`endpoint_states`). An observer gets frozen facts; nothing
here can change a reply.
"""
