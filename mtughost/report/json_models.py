"""Schema ``mtughost/audit/v1``: the shape of ``audit --json``, with what each field means.

The shipped JSON Schema is generated from these models; a test holds the two equal. A value that is
not known is ``null``; a field that does not apply is absent.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mtughost.model.basis import Basis
from mtughost.model.device import Family
from mtughost.model.evidence import Direction
from mtughost.model.findings import Grade, Owner, SiteVerdict

Bytes = Annotated[int | None, Field(description="Bytes; null is unknown.")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HostJson(_Part):
    """How the visit to one device ended. Asked = ok + failed + skipped, always."""

    host: str = Field(description="Inventory name.")
    site: str
    role: str = Field(description="ap, gateway or appliance.")
    status: Literal["ok", "failed", "skipped"]
    error: str = Field(default="", description="One readable line; absent when ok.")
    error_kind: str = Field(default="", description="Stable word for the kind of error.")


class FlowKeyJson(_Part):
    """One service flow, one direction, one family, one egress."""

    service: str
    ap: str = Field(description="Inventory name of the access point or appliance.")
    gateway: str
    egress: str = Field(description="Interface through which the flow leaves the gateway.")
    family: Family
    direction: Direction = Field(
        description="up: AP to service, limited by the MSS in the SYN-ACK; down: the way back, "
        "limited by the MSS in the SYN."
    )


class MtuJson(_Part):
    """IP MTUs along the flow."""

    ap: Bytes
    vlan: Bytes
    wan: Bytes
    tunnel: Bytes


class InstalledJson(_Part):
    """A rule that touched, or should have touched, the handshake packet."""

    rule: str = Field(description="How a person finds it on the device.")
    text: str = Field(description="The rule as the device prints it.")
    value: int | None = Field(description="MSS that it writes; null: not known.")
    packets: int | None = Field(description="Its counter; null: it has none.")
    covers: bool = Field(description="Whether it applies to this flow and direction.")
    because: str = Field(description="Why it does not, or which way it does.")
    line: int | None = Field(default=None, description="Line of the device's answer, from 1.")


class ObservedJson(_Part):
    """MSS in the packet that rules this direction, as seen at each point."""

    ap: Bytes
    lan: Bytes
    wan: Bytes


class MssJson(_Part):
    """Three layers side by side: configured, installed (with counters), observed."""

    configured: int | None = Field(
        description="MSS that the parsed configuration yields for a far end that offers the usual "
        "1460 (1440 for IPv6); null: not known well enough."
    )
    installed: list[InstalledJson]
    observed: ObservedJson
    needed: int | None = Field(description="Largest MSS that fits the known path; null: unknown.")


class FlowJson(FlowKeyJson):
    """One row of the coverage proof."""

    mtu: MtuJson
    mss: MssJson
    path_mtu: Bytes
    covered: bool | None = Field(
        description="true: proven; false: counterexample in 'proof'; null: unknown."
    )
    proof: str


class EvidenceJson(_Part):
    """One observable that a conclusion rests on."""

    kind: str
    basis: Basis = Field(description="What kind of thing answered.")
    host: str
    command: str | None = Field(default=None, description="The line that was sent.")
    line: int | None = Field(default=None, description="Line of the answer, from 1.")
    frame: int | None = Field(default=None, description="Frame of the capture, from 1.")
    value: str


class FixJson(_Part):
    """The smallest sufficient change that is known."""

    change: str
    summary: str
    host: str = Field(default="", description="Device to change; absent when not one of ours.")
    value_bytes: int | None = Field(default=None, description="MTU or MSS to set.")


class FindingJson(_Part):
    """One conclusion."""

    id: str = Field(description="Stable id, equal to the runbook's file name.")
    grade: Grade
    owner: Owner = Field(description="Who must act.")
    summary: str
    flow: FlowKeyJson | None = None
    evidence: list[EvidenceJson]
    fix: FixJson | None = None


class RuledOutJson(_Part):
    """A cause that the evidence excludes."""

    id: str
    because: str


class NextTestJson(_Part):
    """The one cheapest observation that would settle what is unknown."""

    kind: str
    host: str
    summary: str
    question: str = Field(
        default="",
        description="What to write to whoever owns the device, where nobody may log in to it.",
    )


class SiteJson(_Part):
    """What is concluded about one site."""

    site: str
    verdict: SiteVerdict
    flows: list[FlowJson]
    findings: list[FindingJson]
    ruled_out: list[RuledOutJson]
    next_test: NextTestJson | None = None
    notes: list[str]
    isp: str = Field(
        default="", description="Internet provider, as the inventory names it; absent: not known."
    )


class HostCountsJson(_Part):
    """Every host that was asked for is counted once."""

    asked: int
    ok: int
    failed: int
    skipped: int


class CountsJson(_Part):
    """Totals, for dashboards."""

    hosts: HostCountsJson
    sites: dict[SiteVerdict, int] = Field(description="Sites by verdict.")
    findings: dict[str, int] = Field(description="Findings by id.")


class ContrastJson(_Part):
    """A feature that failing sites share and passing ones do not, by Fisher's exact test."""

    feature: str = Field(description="What it is, such as 'isp' or 'gateway firmware'.")
    value: str
    failing: int = Field(description="Failing sites with this value.")
    passing: int
    others_failing: int = Field(description="Failing sites with another value.")
    others_passing: int
    chance: float = Field(description="Two-sided p.")
    tests: int = Field(description="How many values were tested; the threshold is 0.05 over it.")


class FleetJson(_Part):
    """What the sites say together."""

    contrasts: list[ContrastJson] = Field(description="The surest first.")
    judged: int = Field(description="Sites that fail or pass.")
    unknown: int = Field(description="Sites that count on neither side.")


class AuditJson(_Part):
    """A whole audit run."""

    schema_: Literal["mtughost/audit/v1"] = Field(alias="schema")
    run_id: str
    started_utc: str = Field(description="ISO 8601, UTC.")
    tool: str
    content_digest: str = Field(description="Digest of the task books, parsers and templates.")
    hosts: list[HostJson]
    sites: list[SiteJson]
    counts: CountsJson
    fleet: FleetJson | None = Field(default=None, description="Absent: nobody compared them.")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``mtughost/audit/v1``."""
    schema = AuditJson.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:mtughost:audit:v1",
    } | schema
