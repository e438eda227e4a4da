"""A runbook with a site's values filled in. Text in, text out.

Placeholders look like ``{{ wan_mtu }}``. Unfilled ones become words in brackets, so that a runbook
also reads without a site. This is not Jinja: one pass, no expressions, and a value is
never read again as a template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mtughost.model.errors import ContentError
from mtughost.model.findings import SiteReport
from mtughost.report.safe_text import for_markdown
from mtughost.report.summary import paths_of, seen_mss

#: Every placeholder that a runbook may use, with the words that stand for an unknown value.
PLACEHOLDERS: Final[dict[str, str]] = {
    "site": "site",
    "ap": "AP",
    "gateway": "gateway",
    "service": "service",
    "egress": "WAN interface",
    "ap_mtu": "AP MTU",
    "vlan_mtu": "VLAN MTU",
    "wan_mtu": "WAN MTU",
    "tunnel_mtu": "tunnel MTU",
    "path_mtu": "path MTU",
    "needed_mss": "MSS that fits",
    "needed_mss6": "IPv6 MSS that fits",
    "syn_mss": "MSS in the SYN",
    "syn_ack_mss": "MSS in the SYN-ACK",
    "ping_payload": "path MTU - 28",
}

_PLACEHOLDER: Final = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*\}\}")
_FENCE: Final = re.compile(r"^ {0,3}(```|~~~)")
#: What may stand in a command that a person will copy: no shell or CLI reads more into it.
_PLAIN_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")


def explain(runbook: str, values: Mapping[str, str | int | None] | None = None) -> str:
    """Return the runbook with its placeholders filled.

    Args:
        runbook: Markdown text with placeholders.
        values: Values by placeholder name; missing or ``None`` ones stay as words.

    Returns:
        Markdown. Values are inert in it; inside code only plain tokens are filled in, because a
        person will copy that line into a shell.

    Raises:
        ContentError: the runbook uses a placeholder that nobody knows; names its line.
    """
    known = dict(values or {})
    out: list[str] = []
    fenced = False
    for number, line in enumerate(runbook.split("\n"), start=1):
        if _FENCE.match(line):
            fenced = not fenced
        out.append(_fill_line(line, known, number=number, fenced=fenced))
    return "\n".join(out)


def _fill_line(
    line: str, values: Mapping[str, str | int | None], *, number: int, fenced: bool
) -> str:
    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in PLACEHOLDERS:
            raise ContentError(
                "is not a placeholder that explain knows", path="runbook", line=number, key=name
            )
        in_code = fenced or line.count("`", 0, match.start()) % 2 == 1
        return _value(name, values.get(name), in_code=in_code)

    return _PLACEHOLDER.sub(fill, line)


def _value(name: str, value: str | int | None, *, in_code: bool) -> str:
    words = PLACEHOLDERS[name]
    if value is None or value == "":
        return f"<{words}>" if in_code else f"[{words}]"
    text = str(value)
    if in_code:
        return text if _PLAIN_TOKEN.fullmatch(text) else f"<{words}>"
    return for_markdown(text)


def site_values(site: SiteReport, finding_id: str = "") -> dict[str, str | int | None]:
    """Return a site's values for :func:`explain`.

    Args:
        site: The report of the site.
        finding_id: Take the path that this finding names, where it names one.
    """
    values: dict[str, str | int | None] = dict.fromkeys(PLACEHOLDERS)
    values["site"] = site.site
    paths = paths_of(site)
    named = {item.flow for item in site.findings if item.id == finding_id and item.flow is not None}
    path = next(
        (view for view in paths if {f.key for f in (view.up, view.down) if f} & named),
        next(iter(paths), None),
    )
    if path is None:
        return values
    limit = path.path_mtu if path.path_mtu is not None else path.mtu.tunnel
    needed = [f.mss.needed for f in (path.up, path.down) if f and f.mss.needed is not None]
    values.update(
        ap=path.ap,
        gateway=path.gateway,
        service=path.service,
        egress=path.egress,
        ap_mtu=path.mtu.ap,
        vlan_mtu=path.mtu.vlan,
        wan_mtu=path.mtu.wan,
        tunnel_mtu=path.mtu.tunnel,
        path_mtu=limit,
        syn_mss=seen_mss(path.down) if path.down else None,
        syn_ack_mss=seen_mss(path.up) if path.up else None,
    )
    if needed:
        v4 = min(needed) + (20 if path.family == "ipv6" else 0)
        values.update(needed_mss=v4, needed_mss6=v4 - 20)
    if limit is not None:
        values["ping_payload"] = limit - 28
    return values


def explain_site(runbook: str, site: SiteReport, finding_id: str) -> str:
    """Return the runbook of a finding, filled with the values of a site."""
    return explain(runbook, site_values(site, finding_id))
