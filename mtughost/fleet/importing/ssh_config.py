"""An OpenSSH client configuration: its named hosts, resolved as ssh itself resolves them.

Reading is paramiko's (``SSHConfig``): first value wins, patterns, ``ProxyJump``. ``Match exec``
would run programs and is refused.
"""

from __future__ import annotations

import re

from paramiko import SSHConfig
from paramiko.ssh_exception import ConfigParseError

from mtughost.fleet.importing.rows import Row, Rows
from mtughost.model.errors import InventoryError

_RUNS_PROGRAMS = re.compile(r"^\s*match\b.*\bexec\b", re.IGNORECASE | re.MULTILINE)
_INCLUDE = re.compile(r"^\s*include\b", re.IGNORECASE | re.MULTILINE)
_PATTERN = re.compile(r"[*?!]")
_HOP = re.compile(r"(?:ssh://)?(?:[^@]+@)?\[?(?P<host>[^\]:/]+)\]?(?::\d+)?/?")
COLUMNS = ("host", "hostname", "port", "user", "identityfile", "proxyjump")


def read_ssh_config(text: str, path: str) -> Rows:
    """Read every host that the file names without a pattern.

    Args:
        text: The whole file.
        path: Its name, for messages.

    Raises:
        InventoryError: it cannot be read, or would have to run a program.
    """
    if _RUNS_PROGRAMS.search(text):
        raise InventoryError(
            "Match exec would run a program to be read",
            path=path,
            todo="Give a file without it",
        )
    try:
        config = SSHConfig.from_text(text)
    except ConfigParseError as error:
        raise InventoryError(f"is not an ssh configuration: {error}", path=path) from None
    lines = _lines(text)
    rows: list[Row] = []
    notes = [f"{path}: Include is not followed"] if _INCLUDE.search(text) else []
    known = config.get_hostnames()
    for name in [name for name in lines if name in known]:
        if _PATTERN.search(name):
            continue
        found = config.lookup(name)
        jump, note = _jump(found.get("proxyjump", ""))
        if note:
            notes.append(f"{path}: {name}: {note}")
        if "proxycommand" in found:
            notes.append(f"{path}: {name}: ProxyCommand is not used: name a jump host")
        cells = {
            "host": name,
            "hostname": found.get("hostname", name),
            "port": found.get("port", ""),
            "user": found.get("user", ""),
            "identityfile": next(iter(found.get("identityfile", [])), ""),
            "proxyjump": jump,
        }
        rows.append(Row(line=lines[name], cells=cells))
    return Rows(
        path=path,
        rows=tuple(rows),
        columns=COLUMNS,
        usual={
            "name": "host",
            "hostname": "hostname",
            "port": "port",
            "username": "user",
            "key_file": "identityfile",
            "jump": "proxyjump",
        },
        notes=tuple(notes),
    )


def _lines(text: str) -> dict[str, int]:
    """Return the line of every name, in the order of the file (paramiko's set has none)."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace("=", " ", 1).split()
        if words and words[0].lower() == "host":
            for word in words[1:]:
                found.setdefault(word.strip('"'), number)
    return found


def _jump(value: str) -> tuple[str, str]:
    """Return the last hop, which is the host's own jump host, and a note where that is not all."""
    if not value or value.lower() == "none":
        return "", ""
    hops = [hop.strip() for hop in value.split(",")]
    match = _HOP.fullmatch(hops[-1])
    if match is None:
        return "", f"ProxyJump {hops[-1]} was not understood"
    more = "give the jump host a jump of its own for the hops before it" if hops[1:] else ""
    return match["host"], more
