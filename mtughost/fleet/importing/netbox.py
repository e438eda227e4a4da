"""NetBox, through its own client pynetbox (extra ``netbox``): devices with their primary address.

Columns: ``name``, ``primary_ip``, ``primary_ip4``, ``primary_ip6`` (without prefix length), the
slugs of ``site``, ``role``, ``platform``, ``tenant``, ``location``, then ``serial``, ``status``,
``tags`` and ``cf_NAME`` for each custom field (NetBox's REST documentation, "Devices"). Roles and
platforms have whatever slugs people gave them: they are translated, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from mtughost.fleet.importing.rows import Row, Rows
from mtughost.model.errors import InventoryError, UsageError
from mtughost.model.inventory import Secret

_SLUGS = ("site", "role", "platform", "tenant", "location")
_ADDRESSES = ("primary_ip", "primary_ip4", "primary_ip6")
TIMEOUT_S = 30.0


def read_netbox(url: str, token: Secret | None, filters: Mapping[str, str]) -> Rows:
    """Read the devices of a NetBox.

    Args:
        url: Its address. A token is sent over HTTPS or to this very machine only.
        token: An API token that may read; ``None`` where NetBox answers without.
        filters: As in its REST API: ``status=active``, ``site=s001``, ``role=access-point``.

    Raises:
        UsageError: the extra is not installed, or the token would cross the network in clear text.
        InventoryError: it did not answer, or answered something else than a NetBox does.
    """
    _check_address(url, token)
    try:
        import pynetbox  # noqa: PLC0415 - an extra
        from requests import RequestException  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "importing from NetBox needs pynetbox", todo="pip install 'mtughost[netbox]'"
        ) from None
    client: Any = pynetbox.api
    client = client(url, token=token.reveal() if token is not None else None)
    client.http_session.request = _with_deadline(client.http_session.request)
    try:
        devices = client.dcim.devices.filter(**filters) if filters else client.dcim.devices.all()
        rows = [Row(line=None, cells=dict(_cells(dict(device)))) for device in devices]
    except (pynetbox.RequestError, pynetbox.ContentError, RequestException, ValueError) as error:
        # Nothing of the request is quoted: its headers hold the token.
        raise InventoryError(
            f"did not answer as a NetBox: {_said(error)}",
            path=url,
            todo="Check the address, the token and the filters",
        ) from None
    columns = dict.fromkeys(column for row in rows for column in row.cells)
    usual = {"name": "name", "hostname": "primary_ip", "site": "site", "role": "role"}
    return Rows(
        path=url,
        rows=tuple(rows),
        columns=tuple(columns),
        usual={
            field: column
            for field, column in {**usual, "platform": "platform"}.items()
            if column in columns
        },
    )


def _check_address(url: str, token: Secret | None) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{url} is not the address of a NetBox", todo="https://netbox.example")
    if parts.username or parts.password:
        raise UsageError("an address must not hold a password", todo="Use --token env:NAME")
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if token is not None and parts.scheme == "http" and not local:
        raise UsageError("the token would cross the network in clear text", todo="Use https://")


def _with_deadline(request: Any) -> Any:
    """Give every request a deadline: requests itself waits for ever."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", TIMEOUT_S)
        return request(*args, **kwargs)

    return timed


def _said(error: Exception) -> str:
    response = getattr(error, "req", None)
    status = getattr(response, "status_code", None)
    return f"HTTP status {status}" if status is not None else type(error).__name__


def _cells(device: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # NetBox before 4.0 calls the role device_role.
    known = {
        "role": device.get("device_role"),
        **{k: v for k, v in device.items() if v is not None},
    }
    yield "name", known.get("name") or ""
    for name in _ADDRESSES:
        yield name, str((known.get(name) or {}).get("address", "")).partition("/")[0]
    for name in _SLUGS:
        yield name, (known.get(name) or {}).get("slug", "")
    yield "serial", known.get("serial") or ""
    yield "status", (known.get("status") or {}).get("value", "")
    yield "tags", ";".join(tag.get("slug", "") for tag in known.get("tags") or [])
    for name, value in (known.get("custom_fields") or {}).items():
        yield f"cf_{name}", "" if value is None else str(value)
