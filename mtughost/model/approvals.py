"""A second person's decision about a plan, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from pydantic import ConfigDict

from mtughost.model.documents import parse_document

APPROVAL_SCHEMA: Final = "mtughost/approval/v1"
#: SSHSIG namespace: a signature made for a plan never counts for an approval.
APPROVAL_NAMESPACE: Final = "mtughost-approval-v1"

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Prices that the approver accepts by name."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    reboot: bool = False
    no_autorevert: bool = False
    default_creds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Digests of what the approver was shown before signing."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    diff_digest: str
    summary_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A second person's decision about one plan's content.

    Attributes:
        plan_digest: Content digest: a re-plan that differs only in id and times keeps it.
        plan_id: The plan that was on the screen, for people.
        not_after_utc: At most 24 hours after ``valid_from_utc``.
        nonce: Random; an approval counts once per state digest.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    schema: Literal["mtughost/approval/v1"]
    plan_digest: str
    plan_id: str
    tenant: str
    decision: Literal["approve", "reject"]
    approver: str
    approver_key_fp: str
    devices_count: int
    waves_allowed: int
    valid_from_utc: str
    not_after_utc: str
    nonce: str
    accept: Accepted
    shown: Shown


def parse_approval(data: bytes) -> Approval:
    """Read an approval.

    Raises:
        PlanRefusedError: not canonical, unknown or missing fields.
    """
    return parse_document(data, Approval, what="the approval")
