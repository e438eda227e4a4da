"""Values that are packed until they are looked at."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace

import pytest

from mtughost.model.basis import Known, Source, Unknown
from mtughost.model.device import DeviceFacts, Identity
from mtughost.model.errors import DeviceTimeoutError
from mtughost.model.findings import SiteReport
from mtughost.model.packed import Packed, dumps, loads
from mtughost.model.session import Answer
from mtughost.model.visit import Unplaced, Visit

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


@dataclass(frozen=True, slots=True)
class Plain:
    one: object


@dataclass(frozen=True, slots=True)
class Wider(Plain):
    two: frozenset[str] = frozenset()
    seen: list[int] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Own:
    text: str

    def __reduce__(self):
        return Own, (self.text.upper(),)


SOURCE = Source(host="d1", basis="device", command="show version", line=3)
FACTS = replace(
    DeviceFacts(host="d1", site="s1", role="gateway", platform="cisco_xe"),
    identity=Known(Identity(hostname="r1", os_name="IOS", os_version="17.9"), SOURCE),
    interfaces=Unknown("it was not asked", "ask"),
)


@pytest.mark.parametrize(
    "value",
    [
        Plain(None),
        Plain((1,)),
        Plain(Plain("é\udc80")),
        Wider(Plain(1), frozenset({"a", "b"}), [1]),
        FACTS,
        (FACTS, [FACTS, {"again": FACTS}]),
        REPORTS,
        {"kinds": (Plain, DeviceFacts)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_travels_arrives_as_what_stock_pickle_would_have_brought(value):
    there, stock = loads(dumps(value)), loads(pickle.dumps(value))

    assert there == value == stock
    assert repr(there) == repr(stock)
    assert loads(dumps(there)) == value


def test_what_was_one_value_is_one_value_there():
    shared = Plain(["x"])
    first, second = loads(dumps((shared, shared)))

    assert first is second


def test_fields_that_take_no_part_in_comparisons_travel_too():
    assert loads(dumps(Wider(1, seen=[7]))).seen == [7]


def test_a_type_with_a_way_of_its_own_keeps_it():
    assert loads(dumps(Own("a"))).text == "A"


def test_errors_travel_with_their_fields():
    error = loads(dumps(DeviceTimeoutError("d1", "late", todo="wait")))

    assert (error.host, error.reason, error.todo) == ("d1", "late", "wait")


def test_what_a_visit_brought_is_unpacked_without_loading_a_parser():
    line = Unplaced(
        host="d1", kind="routes", command="show ip route", line=3, text="?", strict=True
    )
    answer = Answer(command_id="routes", line="show ip route", text="?\n", status="complete")
    message = dumps(Visit(answers=(answer,), facts=FACTS, unplaced=(line,)))
    program = (
        "import sys; from mtughost.model.packed import loads; loads(sys.stdin.buffer.read());"
        "print([m for m in sys.modules if m.startswith('mtughost.') and '.model' not in m])"
    )
    argv = [sys.executable, "-P", "-c", program]

    told = subprocess.run(argv, input=message, capture_output=True, check=True)

    assert told.stdout.decode().strip() == "[]", told.stdout
