"""An Ansible inventory, as Ansible itself resolves it: the answer of ``ansible-inventory --list``.

Files, plugins, groups and the precedence of variables are Ansible's own business; its program
prints the result as one JSON object (``_meta.hostvars`` and the groups), documented with
``ansible-inventory``. Variables become columns under their own names, lists are joined with ``;``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from mtughost.fleet.importing.hosts import FIELDS
from mtughost.fleet.importing.rows import Row, Rows
from mtughost.model.errors import InventoryError

#: Ansible's names for network operating systems (``ansible_network_os``) -> task books.
PLATFORMS: Mapping[str, str] = {
    "cisco.ios.ios": "cisco_xe",
    "ios": "cisco_xe",
    "cisco.asa.asa": "cisco_asa",
    "asa": "cisco_asa",
    "fortinet.fortios.fortios": "fortinet",
    "fortios": "fortinet",
    "junipernetworks.junos.junos": "juniper_junos",
    "junos": "juniper_junos",
    "vyos.vyos.vyos": "vyos",
    "vyos": "vyos",
    "community.network.edgeos": "ubiquiti_edgerouter",
    "edgeos": "ubiquiti_edgerouter",
    "community.routeros.routeros": "mikrotik_routeros",
    "routeros": "mikrotik_routeros",
    "paloaltonetworks.panos.panos": "paloalto_panos",
}
_USUAL: Mapping[str, str] = {
    "name": "inventory_hostname",
    "hostname": "ansible_host",
    "port": "ansible_port",
    "username": "ansible_user",
    "key_file": "ansible_ssh_private_key_file",
}
#: Never read: they hold secrets.
_SECRET = ("pass", "secret", "token", "vault")


def read_ansible(text: str, path: str) -> Rows:
    """Read what ``ansible-inventory --list`` printed.

    Args:
        text: The JSON.
        path: Its name, for messages.

    Raises:
        InventoryError: it is not that JSON.
    """
    host_vars, groups = _parts(text, path)
    rows: list[Row] = []
    columns: dict[str, None] = dict.fromkeys(("inventory_hostname", "group_names"))
    for name, variables in host_vars.items():
        cells = {
            "inventory_hostname": name,
            "group_names": ";".join(groups.get(name, [])),
            "ansible_host": name,
        }
        for key, value in variables.items():
            if not any(word in key.lower() for word in _SECRET):
                cells[key] = _text(value)
        # Who names one of our task books means it more than who names an operating system.
        cells["platform"] = cells.get("platform") or cells.get("ansible_network_os", "")
        columns.update(dict.fromkeys(cells))
        rows.append(Row(line=None, cells=cells))
    return Rows(
        path=path,
        rows=tuple(rows),
        columns=tuple(columns),
        usual={
            **{name: name for name in columns if name in FIELDS},
            **{name: column for name, column in _USUAL.items() if column in columns},
        },
        translations={"platform": PLATFORMS},
    )


def _parts(text: str, path: str) -> tuple[dict[str, dict[str, object]], dict[str, list[str]]]:
    todo = "Give what `ansible-inventory -i INVENTORY --list` prints"
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise InventoryError("is not JSON", path=path, line=line, todo=todo) from None
    meta = document.get("_meta") if isinstance(document, dict) else None
    host_vars = meta.get("hostvars") if isinstance(meta, dict) else None
    if not isinstance(host_vars, dict):
        raise InventoryError("holds no _meta.hostvars", path=path, todo=todo)
    groups = {
        name: group
        for name, group in document.items()
        if name not in {"_meta", "all", "ungrouped"} and isinstance(group, dict)
    }
    of_host: dict[str, list[str]] = {}
    for name, group in groups.items():
        for host in group.get("hosts", []):
            of_host.setdefault(host, []).append(name)
    # A host without a variable of its own is listed in its groups only.
    everyone = [
        host
        for group in document.values()
        if isinstance(group, dict)
        for host in group.get("hosts", [])
    ]
    found = {host: host_vars.get(host, {}) for host in dict.fromkeys([*everyone, *host_vars])}
    return {name: value for name, value in found.items() if isinstance(value, dict)}, of_host


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)
