"""Steps of one rule to rules of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mtughost.dialects.netfilter.conditions import Conditions
from mtughost.dialects.netfilter.steps import (
    Clamp,
    Cond,
    Count,
    Decide,
    Draft,
    Go,
    Note,
    Opaque,
    VerdictMap,
)
from mtughost.model.clamps import ClampTo, Jump, Match, Rule, Verdict

Action = ClampTo | Jump | Verdict


@dataclass(slots=True)
class Built:
    """What one draft became.

    Attributes:
        rules: Usually one; a rule that clamps and then asks more, or a verdict map, gives several.
        notes: What could not be placed.
    """

    rules: list[Rule] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build_rule(draft: Draft, families: frozenset[str], *, tracks: bool) -> Built:
    """Turn one draft into rules.

    Args:
        draft: The rule.
        families: Families that its table sees.
        tracks: Whether connection tracking sees all packets.
    """
    return _Builder(draft, families, tracks=tracks).build()


class _Builder:
    def __init__(self, draft: Draft, families: frozenset[str], *, tracks: bool) -> None:
        self._draft = draft
        self._conditions = Conditions(families=families, tracks=tracks)
        self._packets: int | None = None
        self._out = Built()
        self._clamp: tuple[ClampTo, Match] | None = None

    def build(self) -> Built:
        for step in self._draft.steps:
            match step:
                case Cond() | Opaque():
                    self._narrow(step)
                case Count():
                    self._packets = step.packets
                case Clamp():
                    self._flush()
                    # Neither nft nor xt_TCPMSS ever writes a larger MSS than the packet carries
                    # (kernel net/netfilter/nft_exthdr.c, xt_TCPMSS.c; tests measure it).
                    clamp = ClampTo(value_bytes=step.value_bytes, can_raise=False)
                    self._clamp = (clamp, self._conditions.match())
                case Note():
                    self._out.notes.append(f"{self._draft.name}: {step.text}")
                case Decide():
                    self._decide(step.verdict)
                case Go():
                    self._flush()
                    self._rule(Jump(chain=step.chain, goto=step.goto), self._conditions.match())
                case VerdictMap():
                    self._flush()
                    self._expand(step)
        self._flush()
        if not self._out.rules:
            self._rule("pass", self._conditions.match())
        return self._out

    def _narrow(self, step: Cond | Opaque) -> None:
        """Another condition follows: a counter so far counted more than this rule's packets."""
        self._flush()
        self._packets = None
        if isinstance(step, Cond):
            self._conditions.add(step)
        else:
            self._conditions.opaque.append(step.text)

    def _flush(self) -> None:
        if self._clamp is not None:
            clamp, match = self._clamp
            self._clamp = None
            self._rule(clamp, match)

    def _decide(self, verdict: Verdict) -> None:
        if self._clamp is not None:
            clamp, match = self._clamp
            self._clamp = None
            self._rule(clamp, match, verdict)
        else:
            self._rule(verdict, self._conditions.match())

    def _rule(self, action: Action, match: Match, then: Verdict = "pass") -> None:
        self._out.rules.append(
            Rule(
                name=self._draft.name,
                text=self._draft.text,
                match=match,
                action=action,
                then=then,
                packets=self._packets,
                line=self._draft.line,
                command=self._draft.command,
            )
        )

    def _expand(self, step: VerdictMap) -> None:
        """One rule per element; their keys exclude one another, so that the order is free."""
        if step.entries is None:
            self._conditions.opaque.append(step.text)
            self._out.notes.append(f"{self._draft.name}: {step.text}")
            return
        for value, action in _actions(step):
            conditions = self._conditions.copy()
            if value == "*":
                # "everything else" depends on all other elements together.
                conditions.opaque.append(f"{step.key} of no other element")
            else:
                conditions.add(Cond(key=step.key, values=(value,), text=f"{step.key} {value}"))
            self._rule(action, conditions.match())
            # The rule's own counter counts all elements together.
            self._out.rules[-1] = replace(self._out.rules[-1], packets=None)


def _actions(step: VerdictMap) -> Iterator[tuple[str, Action]]:
    for value, actions in step.entries or ():
        for action in actions:
            if isinstance(action, Go):
                yield value, Jump(chain=action.chain, goto=action.goto)
            else:
                yield value, action.verdict
