"""Reports what the router did: to Prometheus, to OpenTelemetry, to the usage log.

Here belong observers of `routing.events`, one file per destination. An observer is handed frozen
facts; nothing here can change a reply.
"""
