"""Prometheus's own tool checks the alert rules and plays them."""

import shutil
import subprocess

import pytest

from deploy.monitoring import rules


@pytest.mark.thorough
@pytest.mark.parametrize("check", ["check", "test"])
def test_prometheus_takes_the_rules_and_they_fire_when_they_should(check: str) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; it is in Debian's package prometheus"
    name = "rules.yml" if check == "check" else "rules_test.yml"
    done = subprocess.run(
        [promtool, check, "rules", rules.FILE.with_name(name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
