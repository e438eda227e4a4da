"""Coverage-guided fuzzing of the capture reader and its verdict; needs atheris.

    python tests/packets/atheris_capture.py -max_total_time=600 tests/fixtures/captures

An exception ends it and leaves the input that caused it. Not collected by pytest: a nightly test
starts it where atheris is installed.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["mtughost.packets"]):
    from mtughost.packets import judge, summarise


def test_one_input(data: bytes) -> None:
    """Judge one input."""
    evidence = summarise(
        data,
        host="fuzz",
        point="ap",
        interface="",
        basis="recorded output",
        command="",
        seconds=0.0,
        services=(),
        passphrase="obviously-fake",
    )
    if not judge([evidence, evidence]).sentence:
        raise AssertionError("a verdict without a sentence")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
