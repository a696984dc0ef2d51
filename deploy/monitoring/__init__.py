"""Dashboards and alert rules for Prometheus and Grafana, as code.

`python -m deploy.monitoring` writes the files beside it again: `dashboard.json` for Grafana, and
`rules.yml` for Prometheus. docs/monitoring.md says how they are used.
"""
