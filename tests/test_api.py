"""The names that other programs import, and that they stay light until they are called."""

import subprocess
import sys

import pytest

import mtughost
from mtughost.model.errors import UsageError


def test_a_capture_is_judged_from_a_program(checkout):
    report = mtughost.diagnose_capture(checkout / "tests/fixtures/captures/site-a.pcap")

    assert report.verdict == "fault"
    assert report.findings[0].id == "clamp-missing"
    assert report.findings[0].flow.direction == "up"


def test_errors_of_the_api_are_typed():
    with pytest.raises(UsageError, match="cannot be read"):
        mtughost.diagnose_capture("no-such.pcap")


def test_every_name_of_the_stub_is_there_and_nothing_else_is(checkout):
    stub = (checkout / "mtughost" / "__init__.pyi").read_text(encoding="utf-8")
    names = {line.rsplit(" ", 1)[-1] for line in stub.splitlines() if line.startswith("from")}

    assert names == set(mtughost._API)
    assert all(callable(getattr(mtughost, name)) for name in names)
    assert names <= set(dir(mtughost))
    with pytest.raises(AttributeError, match="nonsense"):
        mtughost.nonsense  # noqa: B018


def test_importing_the_package_loads_none_of_its_rooms():
    code = "import mtughost, sys; print([m for m in sys.modules if m.startswith('mtughost.')])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "[]"
