"""Values that may be put into a command: typed, and free of everything a shell or CLI acts on.

Each type has one function that returns the text to write or refuses. All patterns are ASCII and
closed (``fullmatch``), so that line ends of every kind (LF, CR, VT, FF, NEL, LS, PS), control
characters, quotes, ``;``, ``|``, ``&``, ``$``, backticks, ``?`` and TAB cannot occur.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from mtughost.content.book_parts import ParamSpec, ParamType
from mtughost.model.errors import ContentError
from mtughost.model.plans import TOKEN_MARK
from mtughost.model.session import RenderedCommand

MAX_MANY = 16
#: Lines of a guard carry whole scripts; nothing legitimate comes near this.
MAX_LINE_CHARS = 32 * 1024

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]{0,62}")
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?")
_PATH = re.compile(r"/[A-Za-z0-9_./+-]{0,255}")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_RUN_TOKEN = re.compile(r"[0-9a-f]{16}")
#: Categories of Unicode that end lines, move the cursor, hide or reorder text.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def unsafe_character(text: str) -> str | None:
    """Return the first character that must not stand in a command, as ``U+000A``, or ``None``."""
    if text.isascii() and text.isprintable():
        return None
    for char in text:
        if unicodedata.category(char) in _UNSAFE_CATEGORIES:
            return f"U+{ord(char):04X}"
    return None


def checked(name: str, value: object, spec: ParamSpec) -> str | int | tuple[str | int, ...]:
    """Return ``value`` as it may be written into a command.

    Args:
        name: The parameter's name, for the message.
        value: Whatever the caller has.
        spec: What the task book says it must be.

    Raises:
        ContentError: the value does not fit its type. Nothing was sent.
    """
    if not spec.many:
        return _one(name, value, spec)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _refused(name, value, f"a list of values of type {spec.type}")
    if not 1 <= len(value) <= MAX_MANY:
        raise _refused(name, value, f"a list of 1 to {MAX_MANY} values")
    return tuple(part for item in value for part in _as_tuple(_one(name, item, spec)))


def _as_tuple(value: str | int | tuple[str | int, ...]) -> tuple[str | int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _one(name: str, value: object, spec: ParamSpec) -> str | int | tuple[str | int, ...]:
    if spec.type == "script":
        return _script(name, value)
    if spec.type == "integer":
        return _integer(name, value, spec.min or 0, spec.max or 0)
    if spec.type == "port":
        return _integer(name, value, 1, 65535)
    text = _TEXT_TYPES[spec.type](value) if isinstance(value, str) else None
    if text is None:
        raise _refused(name, value, _EXPECTED[spec.type])
    return text


def _integer(name: str, value: object, smallest: int, largest: int) -> int:
    # bool is an int to Python; True in a command would be a mistake of ours.
    if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value <= largest:
        raise _refused(name, value, f"a whole number from {smallest} to {largest}")
    return value


def _script(name: str, value: object) -> tuple[str, ...]:
    lines: list[str] = []
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _refused(name, value, "lines rendered from a template")
    for item in value:
        if not isinstance(item, RenderedCommand) or unsafe_character(item.line):
            raise _refused(name, item, "lines rendered from a template")
        lines.append(shlex.quote(item.line))
    return tuple(lines)


def _pattern(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def check(text: str) -> str | None:
        return text if pattern.fullmatch(text) and ".." not in text else None

    return check


def _address(*versions: int) -> Callable[[str], str | None]:
    def check(text: str) -> str | None:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        # A zone (fe80::1%eth0) is text of its own and no part of the address.
        return str(address) if address.version in versions and "%" not in text else None

    return check


def _network(text: str) -> str | None:
    try:
        return None if "%" in text else str(ipaddress.ip_network(text))
    except ValueError:
        return None


def _hostname(text: str) -> str | None:
    if len(text) > 253:  # noqa: PLR2004 - RFC 1035 2.3.4
        return None
    return _address(4, 6)(text) or (text if _HOSTNAME.fullmatch(text) else None)


def _run_token(text: str) -> str | None:
    return text if text == TOKEN_MARK or _RUN_TOKEN.fullmatch(text) else None


_TEXT_TYPES: Mapping[ParamType, Callable[[str], str | None]] = {
    "interface": _pattern(_INTERFACE),
    "ipv4": _address(4),
    "ipv6": _address(6),
    "address": _address(4, 6),
    "network": _network,
    "hostname": _hostname,
    "path": _pattern(_PATH),
    "token": _pattern(_TOKEN),
    "run-token": _run_token,
}
_EXPECTED: Mapping[ParamType, str] = {
    "interface": "an interface name",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "address": "an IPv4 or IPv6 address",
    "network": "a network such as 10.20.0.0/24",
    "hostname": "a host name or an address",
    "path": "an absolute path of letters, digits and _./+-",
    "token": "a word of letters, digits and _.-",
    "run-token": "a run's token",
}


def _refused(name: str, value: object, expected: str) -> ContentError:
    shown = ascii(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."  # noqa: PLR2004 - a readable line
    return ContentError(
        f"the value {shown} was refused, expected {expected}",
        key=name,
        todo="Nothing was sent. Correct the inventory or the plan that it came from",
    )
