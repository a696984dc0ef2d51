"""Runs model servers on spot instances of a cloud, as connections that come and go by themselves.

`decisions` says what is to be done, from what the cloud and the store show and the time; pure.
`controller` carries that out in one loop. `cloud` is the port of clouds, `ec2` the one for AWS, and
`llm_router.testing.cloud` the fake for tests. `metadata` runs on an instance itself and passes the
cloud's notices on. What a connection is, and how calls leave it, belongs to other packages: a fleet
edits connections in the store like any person does.
"""
