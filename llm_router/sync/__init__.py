"""Keeps the endpoints of a process in step with what other processes know.

Here belong the endpoint set of a router (`endpoints`), the follower of a store (`subscription`,
`names`), the exchange of limits (`limits`), the polling of servers' queues (`queues`,
`queue_metrics`) and the `scoreboard`, which carries measurements from one call to the next. Nothing
here decides which endpoint gets a request: that is `routing`.
"""
