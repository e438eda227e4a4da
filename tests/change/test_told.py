"""The kept texts belong to tests that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.change.told import KEPT, kept


@pytest.mark.parametrize("file", sorted(path.stem for path in KEPT.glob("*.txt")))
def test_every_kept_text_is_held_by_a_test(file):
    source = Path(__file__).with_name(f"test_{file}.py").read_text(encoding="utf-8")

    assert kept(file)
    for name in kept(file):
        assert f"def {name.partition('[')[0]}(" in source
