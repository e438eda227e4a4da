"""What a process that runs a fleet sets for itself."""

import subprocess
import sys

_PROGRAM = """
import gc, sys
from mtughost.wire.process import tune_process
tune_process()
tune_process()
import paramiko, paramiko.config
import mtughost.wire.connector
assert "mtughost.wire.exec_session" in sys.modules
assert paramiko.config.invoke is None
assert sys.modules.get("netmiko") is None
assert sys.getswitchinterval() == 0.02
assert gc.get_threshold()[0] == 20_000
"""

_LAZY = """
import sys
import mtughost.app.audit, mtughost.cli.show, mtughost.cli.progress
heavy = ("mtughost.packets", "mtughost.collect.probe", "mtughost.report.html",
         "mtughost.report.json_models", "mtughost.remedy", "netmiko", "rich.progress")
print(*[name for name in heavy if name in sys.modules])
"""


def _run(program):
    return subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    ).stdout


def test_a_fleet_process_starts_paramiko_without_what_it_never_uses():
    assert _run(_PROGRAM) == ""


def test_an_audit_that_only_reads_loads_nothing_that_probes_captures_or_draws():
    assert _run(_LAZY).strip() == ""
