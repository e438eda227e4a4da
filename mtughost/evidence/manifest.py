"""The list of everything in a bundle: digests, provenance, what was replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from pydantic import ConfigDict

from mtughost.model.documents import canonical_bytes, parse_document
from mtughost.model.errors import EvidenceError

MANIFEST_SCHEMA: Final = "mtughost/bundle/v1"
#: SSHSIG namespace: a signature on a plan never counts for a bundle.
MANIFEST_NAMESPACE: Final = "mtughost-bundle-v1"
MANIFEST_NAME: Final = "manifest.json"
SIGNATURE_NAME: Final = "manifest.json.sig"

_STRICT = ConfigDict(extra="forbid")

MemberKind = Literal[
    "report", "answer", "capture", "probes", "site", "hosts", "audit", "runbook", "handed-in"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of the bundle.

    Attributes:
        path: Relative, with forward slashes.
        sha256: Hexadecimal.
        kind: What it holds.
        host: Whose answer or capture it is, ``""`` otherwise.
        command: The line that was sent, ``""`` where none was.
        when_utc: When it was read, by the tool's clock.
        basis: What it rests on, such as ``real device``.
        told: Who handed it in, when and how; ``""`` for what was read over a login.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    path: str
    sha256: str
    size: int
    kind: MemberKind
    host: str = ""
    command: str = ""
    when_utc: str = ""
    basis: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """How many values of one kind were replaced by stand-ins or removed."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    kind: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is signed.

    Attributes:
        recipient: Name of the profile.
        kept_real: Kinds of identifiers that were not replaced.
        verdict: The site's, so that a reader can compare it with what the members give.
        findings: Ids in order.
        gaps: What is missing or only told, one sentence each.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    schema: Literal["mtughost/bundle/v1"]
    created_utc: str
    tool: str
    content_digest: str
    run_id: str
    site: str
    recipient: str
    verdict: str
    findings: tuple[str, ...]
    kept_real: tuple[str, ...]
    replaced: tuple[Replaced, ...]
    gaps: tuple[str, ...]
    members: tuple[Member, ...]


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the one byte form, which is signed."""
    return canonical_bytes(manifest)


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        EvidenceError: not canonical, or with unknown, missing or wrong fields.
    """
    return parse_document(data, Manifest, what=MANIFEST_NAME, error=EvidenceError)
