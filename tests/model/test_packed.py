"""Values that are packed until they are looked at."""

from __future__ import annotations

import pytest

from mtughost.model.findings import SiteReport
from mtughost.model.packed import Packed

REPORTS = tuple(SiteReport(site=f"s{n}", verdict="ok", notes=("é\udc80",) * n) for n in range(1, 4))


def test_what_was_packed_comes_out_equal_and_in_order():
    packed = Packed.of(iter(REPORTS))

    assert tuple(packed) == REPORTS
    assert packed == REPORTS == packed
    assert (packed[0], packed[-1], packed[1:]) == (REPORTS[0], REPORTS[-1], REPORTS[1:])
    assert len(packed) == len(list(reversed(packed))) == 3


def test_other_values_another_order_and_another_number_are_not_equal():
    packed = Packed.of(REPORTS)

    assert packed != REPORTS[:2]
    assert packed != tuple(reversed(REPORTS))
    assert packed != "abc"
    with pytest.raises(IndexError):
        packed[3]


def test_a_look_leaves_nothing_behind():
    packed = Packed.of(REPORTS)

    assert packed[0] is not packed[0]
    assert not Packed.of(())
