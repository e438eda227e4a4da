"""Coverage-guided fuzzing of the classifier of push errors; needs atheris.

    python tests/collect/atheris_push_errors.py -max_total_time=600 FOLDER_OF_TEXTS

An exception ends it and leaves the input that caused it. Not collected by pytest: a nightly test
starts it where atheris is installed.
"""

from __future__ import annotations

import sys
import unicodedata

import atheris

with atheris.instrument_imports(include=["mtughost.collect.push_errors"]):
    from mtughost.collect.push_errors import decide


def test_one_input(data: bytes) -> None:
    """Judge one text, as it would be read from a device."""
    found = decide(data.decode("utf-8", "replace"))
    if (found.line is None) != (found.text == ""):
        raise AssertionError("a class without its deciding line, or a line without its number")
    if any(unicodedata.category(sign) == "Cc" and sign != "\t" for sign in found.text):
        raise AssertionError("a control character in the deciding line")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
