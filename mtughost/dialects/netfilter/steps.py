"""What a netfilter rule does, statement by statement, in one shape for nft and iptables.

The readers (:mod:`.nft_json`, :mod:`.nft_text`, :mod:`.iptables`) turn a rule into steps; one
builder (:mod:`.build`) turns steps into the model's rules. Order matters: a counter counts what
reached it, a statement acts on what matched so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtughost.model.clamps import Verdict

#: ``any`` and ``none`` ask whether bits are set: nft's ``tcp flags syn`` and ``tcp flags ! syn``.
Op = Literal["==", "!=", "<", "<=", ">", ">=", "any", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cond:
    """One condition.

    Attributes:
        key: What is compared, as nft writes it: ``meta iifname``, ``tcp dport``, ``ct state``.
        op: How.
        values: Alternatives: words, numbers, ``a-b`` ranges, prefixes, ``syn|ack`` bit sets.
            ``None`` where they cannot be read.
        mask: Bits that are looked at, ``None`` for all.
        text: As a person reads it.
    """

    key: str
    op: Op = "=="
    values: tuple[str, ...] | None = None
    mask: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A condition that nobody here can evaluate."""

    text: str


@dataclass(frozen=True, slots=True)
class Count:
    """A counter; ``None`` where its number is not this rule's alone."""

    packets: int | None


@dataclass(frozen=True, slots=True)
class Clamp:
    """Write the MSS; ``None`` takes it from the path MTU."""

    value_bytes: int | None


@dataclass(frozen=True, slots=True)
class Decide:
    """End with a verdict."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Go:
    """Continue in another chain."""

    chain: str
    goto: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something that may touch the MSS or the packet's way and cannot be read."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictMap:
    """nft's ``vmap``: the key's value chooses the verdict.

    Attributes:
        key: What is looked up.
        entries: For each value the steps that it leads to; ``None`` where unreadable.
        text: As a person reads it.
    """

    key: str
    entries: tuple[tuple[str, tuple[Decide | Go, ...]], ...] | None
    text: str


Step = Cond | Opaque | Count | Clamp | Decide | Go | Note | VerdictMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One rule before it is built.

    Attributes:
        name: How a person finds it on the device.
        text: As the device prints it.
        command: The command that shows it.
        line: Line of that answer.
    """

    name: str
    text: str
    command: str
    line: int | None
    steps: tuple[Step, ...]
