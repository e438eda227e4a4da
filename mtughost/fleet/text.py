"""What may stand in an inventory value. Cells are untrusted: they end in paths, prompts, reports.

Each function returns the value or raises :class:`ValueError` with a sentence that says what was
expected. Secrets never pass through here.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

MAX_NAME_CHARS = 253
MAX_LINE_CHARS = 500

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}")
_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
#: Control, format (bidi overrides, zero width), line and paragraph separators, surrogates.
_UNSAFE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


def show(value: object) -> str:
    """Write an untrusted value for a message: quoted, cut, nothing unprintable."""
    kinds = {bool: "the boolean ", int: "the number ", float: "the number "}
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return kinds.get(type(value), "") + (text if len(text) <= 80 else text[:77] + "...")  # noqa: PLR2004


def check_name(value: str) -> str:
    """Check a name of a host, group, site or service: it becomes part of file names."""
    if len(value) > MAX_NAME_CHARS:
        raise ValueError(f"expected a name of at most {MAX_NAME_CHARS} characters")
    if not _NAME.fullmatch(value) or ".." in value or value.endswith("."):
        raise ValueError(
            "expected a name of letters, digits, dot, dash and underscore that begins with a "
            f"letter or digit, got {show(value)}"
        )
    return value


def check_other_host(value: str) -> str:
    """Check the name of another host, or an empty text that ends what a group gives."""
    return check_name(value) if value else value


def check_address(value: str) -> str:
    """Check an IPv4 address, IPv6 address or DNS name."""
    if is_address(value):
        return value
    if len(value) > MAX_NAME_CHARS:
        raise ValueError(f"expected an address or name of at most {MAX_NAME_CHARS} characters")
    labels = value.removesuffix(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError(f"expected an IPv4 or IPv6 address or a DNS name, got {show(value)}")
    return value


def is_address(value: str) -> bool:
    """Say whether ``value`` is an IP address that a device can have."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"expected the address of one device, got {show(value)}")
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return _SCOPE.fullmatch(address.scope_id) is not None
    return True


def same_address(value: str) -> str:
    """Return the one spelling under which two equal addresses compare equal."""
    try:
        return str(ipaddress.ip_address(value)).lower()
    except ValueError:
        return value.removesuffix(".").lower()


def check_port(value: int) -> int:
    """Check a TCP port."""
    if not 1 <= value <= 65535:  # noqa: PLR2004
        raise ValueError(f"expected a port from 1 to 65535, got {value}")
    return value


def check_interface(value: str) -> str:
    """Check an interface name."""
    if not _INTERFACE.fullmatch(value) or ".." in value:
        raise ValueError(f"expected an interface name such as wan1 or eth0.20, got {show(value)}")
    return value


def check_user(value: str) -> str:
    """Check a login name."""
    check_line(value)
    if not value or value.startswith("-") or any(char.isspace() for char in value):
        raise ValueError(
            f"expected a login name without spaces and leading dash, got {show(value)}"
        )
    return value


def check_line(value: str) -> str:
    """Check free text: one line, nothing that could act on a terminal or turn text around."""
    if len(value) > MAX_LINE_CHARS:
        raise ValueError(f"expected one line of at most {MAX_LINE_CHARS} characters")
    if any(unicodedata.category(char) in _UNSAFE for char in value):
        raise ValueError(f"expected one line without control characters, got {show(value)}")
    return value


def check_path(value: str) -> str:
    """Check a file path: any path the operator likes, but one printable line."""
    if not check_line(value).strip():
        raise ValueError("expected the path of a file, got nothing")
    return value


def check_reference(value: str) -> str:
    """Check a reference to a secret. The value is not quoted: it might be a secret by mistake."""
    if not is_reference(value):
        raise ValueError("expected env:NAME, keyring:SERVICE/USER or file:PATH")
    return value


_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|keyring:[^/]+/.+|file:.+")
_LOOKS_LIKE_REFERENCE = re.compile(r"(?:env|keyring|file):")


def is_reference(value: str) -> bool:
    """Say whether ``value`` is a well-formed reference."""
    safe = not any(unicodedata.category(char) in _UNSAFE for char in value)
    return safe and _REFERENCE.fullmatch(value) is not None


def check_password(value: str) -> str:
    """Check a password: a reference or, with a warning elsewhere, the password itself."""
    if not value or "\0" in value:
        raise ValueError("expected env:NAME, keyring:SERVICE/USER or file:PATH")
    if _LOOKS_LIKE_REFERENCE.match(value):
        # A misspelt reference would otherwise be sent to devices as a password.
        return check_reference(value)
    return value
