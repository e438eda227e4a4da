"""Many values at once, small: packed until they are looked at, and forgotten again."""

from __future__ import annotations

import dataclasses
import operator
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")

#: zlib's quickest: the point is memory, not the last byte.
_LEVEL = 1


class Packed(Sequence[T], Generic[T]):
    """A sequence whose values are unpacked anew at every look.

    A report of ten thousand sites takes 30 MB that way instead of 500; going through it costs a
    tenth of a millisecond a site. What is changed in a value that was looked at is lost.

    Args:
        packed: The values, each in bytes of its own.
        unpack: Makes a value of them.
    """

    def __init__(self, packed: Iterable[bytes], unpack: Callable[[bytes], T]) -> None:
        self._packed = tuple(packed)
        self._unpack = unpack

    @classmethod
    def of(cls, values: Iterable[T]) -> Packed[T]:
        """Pack values of our own making, one by one."""
        return cls((pack(value) for value in values), unpack)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Packed[T]: ...

    def __getitem__(self, index: int | slice) -> T | Packed[T]:
        """Return one value, unpacked, or a part of the sequence."""
        if isinstance(index, slice):
            return Packed(self._packed[index], self._unpack)
        return self._unpack(self._packed[index])

    def __iter__(self) -> Iterator[T]:
        """Unpack one after the other."""
        return map(self._unpack, self._packed)

    def __eq__(self, other: object) -> bool:
        """Compare values with those of any sequence."""
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # like every sequence of values that may be long

    def __repr__(self) -> str:
        """Show the values: for messages of tests and debuggers."""
        return f"Packed({list(self)!r})"


def pack(value: object) -> bytes:
    """Return a value of our own making in bytes, for :func:`unpack`. Never for storage."""
    return zlib.compress(dumps(value), _LEVEL)


def unpack(data: bytes) -> Any:
    """Return what :func:`pack` packed in this very process."""
    return loads(zlib.decompress(data))


def loads(data: bytes) -> Any:
    """Return what :func:`dumps` pickled, here or in a process of ours."""
    return pickle.loads(data)  # noqa: S301 - never bytes of anybody else's


def dumps(value: object) -> bytes:
    """Pickle values of our own making, for :func:`loads` by the same version of us.

    A device's facts are some hundreds of frozen values. What dataclasses bring for those with
    slots looks the fields up anew for each, in Python, on both sides: three times the CPU.
    """
    out = _Pieces()
    _Pickler(out, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return b"".join(out)


class _Pieces(list[bytes]):
    """As much of a file as a pickler needs."""

    def write(self, data: bytes) -> None:
        self.append(data)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        fields_of = _reader(value.__class__)
        if fields_of is None:
            return NotImplemented
        return _made, (value.__class__, fields_of(value))


@cache
def _reader(kind: type) -> Callable[[Any], tuple[object, ...]] | None:
    """Return what reads all fields of a frozen dataclass with slots; ``None`` for other types."""
    if not (dataclasses.is_dataclass(kind) and "__slots__" in kind.__dict__):
        return None
    is_stock = kind.__reduce__ is object.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__
    is_stock &= getattr(kind.__getstate__, "__module__", "") == dataclasses.__name__
    names = [field.name for field in dataclasses.fields(kind)]
    if not (is_stock and names):
        return None
    read = operator.attrgetter(*names)
    return read if len(names) > 1 else lambda value: (read(value),)


@cache
def _maker(kind: type) -> Callable[[tuple[object, ...]], object]:
    """Return what makes a value of all its fields, past the check that makes the class frozen.

    Written out for each class, as dataclasses write their own ``__init__``: a loop over the slots
    takes half as long again, and a fleet's facts are a million of them.
    """
    slots = [getattr(kind, field.name).__set__ for field in dataclasses.fields(kind)]
    values = "".join(f"value{at}, " for at in range(len(slots)))
    lines = [
        "def make(values):",
        " made = new(kind)",
        f" {values}= values",
        *(f" set{at}(made, value{at})" for at in range(len(slots))),
        " return made",
    ]
    known: dict[str, Any] = {f"set{at}": slot for at, slot in enumerate(slots)}
    known |= {"new": kind.__new__, "kind": kind}
    exec("\n".join(lines), known)  # noqa: S102 - our own words and numbers, nothing else
    make: Callable[[tuple[object, ...]], object] = known["make"]
    return make


def _made(kind: type, values: tuple[object, ...]) -> object:
    return _maker(kind)(values)
