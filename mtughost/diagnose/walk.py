"""Walk a packet through a ruleset, in the order of the kernel, and follow its MSS.

The MSS is an interval: certain rules move it, rules that nobody can evaluate widen it. A proof
needs the whole interval on one side, so a doubtful rule can cost a proof but never fake one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mtughost.diagnose.match import (
    DNAT_PRIORITY,
    SNAT_PRIORITY,
    Matched,
    Mismatch,
    Packet,
    Tri,
    match_mss,
    match_rule,
)
from mtughost.diagnose.passage import ANYTHING, ClampVisit, Span, Stage, State, Walk, hull
from mtughost.model.clamps import Chain, ClampTo, Hook, Jump, Rule, Ruleset, Verdict

#: The kernel allows 16 nested jumps; more means that we misread something.
MAX_DEPTH = 32
#: Bounds the work for rulesets whose chains call each other many times over.
MAX_STEPS = 50_000


def walk(
    ruleset: Ruleset, stages: tuple[Stage, ...], start_bytes: int, path_mss_bytes: int | None
) -> Walk:
    """Send one packet through a ruleset.

    Args:
        ruleset: All chains of the device.
        stages: The hooks on the packet's way, in order.
        start_bytes: MSS that it carries when it arrives.
        path_mss_bytes: What a rule "derived from the path MTU" writes for this packet (smaller of
            route and route back, minus headers); ``None`` when a route's MTU is unknown.
    """
    walker = _Walker(ruleset, path_mss_bytes)
    state: State = Span(start_bytes, start_bytes)
    for stage in stages:
        for chain in walker.base_chains(stage):
            state = walker.base_chain(chain, stage, state)
    walker.explain_rest()
    end = state or Span(start_bytes, start_bytes)
    unreadable = (*ruleset.notes, *dict.fromkeys(walker.unreadable))
    dropped: Tri = "yes" if state is None else "maybe" if walker.drops or unreadable else "no"
    if dropped == "yes" and unreadable:
        dropped = "maybe"
    return Walk(
        start_bytes=start_bytes,
        low_bytes=end.low,
        high_bytes=end.high,
        dropped=dropped,
        dropped_by=walker.drops[-1] if walker.drops else "",
        visits=tuple(walker.visits.values()),
        unreadable=unreadable,
    )


@dataclass(slots=True)
class _Run:
    """One pass through the rules of one chain.

    Attributes:
        live: Packets that go on to the next rule.
        left: Packets that returned to the caller.
        sure: Whether the packet is certainly here (nothing may have taken it away before).
        doubt: Why it may not be here.
        ended_by: The rule after which nothing was left.
    """

    chain: Chain
    stage: Stage
    base: Chain
    live: State
    sure: bool
    doubt: str = "comes after a rule that cannot be evaluated"
    depth: int = 0
    left: State = None
    ended_by: str = ""


class _Walker:
    def __init__(self, ruleset: Ruleset, path_mss_bytes: int | None) -> None:
        self._ruleset = ruleset
        self._path_mss = path_mss_bytes
        self._by_name = {(c.table, c.name): c for c in ruleset.chains}
        self._accepted: State = None
        self._steps = 0
        self.visits: dict[tuple[str, str, int], ClampVisit] = {}
        self.drops: list[str] = []
        self.unreadable: list[str] = []

    def base_chains(self, stage: Stage) -> list[Chain]:
        found = [
            c
            for c in self._ruleset.chains
            if c.hook == stage.hook and (not c.devices or stage.device in c.devices)
        ]
        return sorted(found, key=lambda c: c.priority)

    def base_chain(self, chain: Chain, stage: Stage, state: State) -> State:
        packet = stage.packet(chain.priority)
        if packet.family not in chain.families:
            miss = Mismatch("family", "sits in a table of the other family")
            self._explain(chain, chain, stage, (miss,))
            return state
        skipped = _may_skip(chain, packet)
        run = _Run(chain=chain, stage=stage, base=chain, live=state, sure=not skipped)
        if skipped:
            run.doubt = "sits where only a connection's first packet may come by"
        if state is None:
            run.ended_by = self.drops[-1] if self.drops else ""
        self._accepted = None
        self._rules(run)
        rest = hull(run.live, run.left)
        if rest is not None and chain.policy == "drop":
            self.drops.append(f"policy drop of chain {chain.table} {chain.name}")
            rest = None
        out = hull(rest, self._accepted)
        return hull(out, state) if skipped else out

    def _rules(self, run: _Run) -> None:
        for index, rule in enumerate(run.chain.rules):
            self._steps += 1
            if self._steps > MAX_STEPS:
                self._give_up("more rules than can be walked", run)
                return
            if run.live is None:
                self._shadowed(run, index, rule)
                continue
            self._rule(run, index, rule, run.live)

    def _rule(self, run: _Run, index: int, rule: Rule, live: Span) -> None:
        packet = run.stage.packet(run.base.priority)
        matched = _with_mss(match_rule(rule.match, packet, run.stage.hook), rule, live)
        if isinstance(rule.action, ClampTo):
            self._visit(run, index, rule, matched, live)
        if matched.verdict == "no":
            target = self._target(run.chain, rule)
            if target is not None:
                self._explain(target, run.base, run.stage, matched.misses)
            return
        taken, passed = _split(live, rule, matched)
        if isinstance(rule.action, Jump):
            self._jump(run, rule, rule.action, (taken, passed))
            return
        if isinstance(rule.action, ClampTo):
            taken = self._clamped(rule.action, run.stage.hook, taken)
            self._verdict(run, rule, rule.then, (taken, passed))
            return
        self._verdict(run, rule, rule.action, (taken, passed))

    def _verdict(self, run: _Run, rule: Rule, verdict: Verdict, parts: tuple[Span, State]) -> None:
        taken, passed = parts
        if verdict == "pass":
            run.live = hull(taken, passed)
            return
        if verdict == "accept":
            self._accepted = hull(self._accepted, taken)
        elif verdict == "drop":
            self.drops.append(f"rule {rule.name}")
        else:
            run.left = hull(run.left, taken)
        self._leave(run, rule, passed)

    def _leave(self, run: _Run, rule: Rule, passed: State) -> None:
        run.live = passed
        if passed is None:
            run.ended_by = f"rule {rule.name}"
        else:
            run.sure = False

    def _jump(self, run: _Run, rule: Rule, jump: Jump, parts: tuple[Span, State]) -> None:
        taken, passed = parts
        target = self._by_name.get((run.chain.table, jump.chain))
        if target is None or run.depth >= MAX_DEPTH:
            self._give_up(f"chain {jump.chain} that rule {rule.name} jumps to", run)
            return
        sub = _Run(
            chain=target,
            stage=run.stage,
            base=run.base,
            live=taken,
            sure=run.sure and passed is None,
            doubt=run.doubt,
            depth=run.depth + 1,
        )
        before = (self._accepted, len(self.drops))
        self._rules(sub)
        back = hull(sub.live, sub.left)
        if jump.goto:
            run.left = hull(run.left, back)
            self._leave(run, rule, passed)
            return
        run.live = hull(back, passed)
        if run.live is None:
            run.ended_by = sub.ended_by or f"rule {rule.name}"
        elif before != (self._accepted, len(self.drops)):
            # Something in the other chain took the packet away, or may have.
            run.sure = False

    def _give_up(self, what: str, run: _Run) -> None:
        self.unreadable.append(what)
        run.live = ANYTHING
        run.sure = False

    def _clamped(self, action: ClampTo, hook: Hook, taken: Span) -> Span:
        value = self._value(action, hook)
        if value is None:
            return ANYTHING if action.can_raise else Span(0, taken.high)
        if action.can_raise:
            return Span(value, value)
        return Span(min(taken.low, value), min(taken.high, value))

    def _value(self, action: ClampTo, hook: Hook) -> int | None:
        if action.value_bytes is not None:
            return action.value_bytes
        # Before routing there is no route whose MTU could be taken.
        return self._path_mss if hook in {"forward", "postrouting", "output"} else None

    def _visit(self, run: _Run, index: int, rule: Rule, matched: Matched, live: Span) -> None:
        action = rule.action
        assert isinstance(action, ClampTo)  # noqa: S101 - narrows the type for mypy
        value = self._value(action, run.stage.hook)
        applies: Tri = matched.verdict
        doubts = matched.doubts
        if applies == "yes" and not run.sure:
            applies = "maybe"
            doubts = (Mismatch("opaque", run.doubt),)
        after = self._clamped(action, run.stage.hook, live)
        self._record(
            index,
            ClampVisit(
                rule=rule,
                chain=run.chain,
                applies=applies,
                value_bytes=value,
                misses=matched.misses if applies == "no" else (),
                doubts=doubts if applies == "maybe" else (),
                changed=applies == "yes" and after != live,
            ),
        )

    def _shadowed(self, run: _Run, index: int, rule: Rule) -> None:
        packet = run.stage.packet(run.base.priority)
        matched = match_rule(rule.match, packet, run.stage.hook)
        by = run.ended_by or "an earlier rule"
        miss = Mismatch("shadowed", f"comes after {by}, which ends the evaluation", (by,))
        misses = (*matched.misses, miss)
        if isinstance(rule.action, ClampTo):
            self._record(index, self._missed(run.chain, rule, run.stage.hook, misses))
        target = self._target(run.chain, rule)
        if target is not None and target is not run.chain:
            self._explain(target, run.base, run.stage, misses)

    def _missed(
        self, chain: Chain, rule: Rule, hook: Hook, misses: tuple[Mismatch, ...]
    ) -> ClampVisit:
        assert isinstance(rule.action, ClampTo)  # noqa: S101 - narrows the type for mypy
        value = self._value(rule.action, hook)
        return ClampVisit(rule=rule, chain=chain, applies="no", value_bytes=value, misses=misses)

    def _target(self, chain: Chain, rule: Rule) -> Chain | None:
        if not isinstance(rule.action, Jump):
            return None
        return self._by_name.get((chain.table, rule.action.chain))

    def _explain(
        self, chain: Chain, base: Chain, stage: Stage, reasons: tuple[Mismatch, ...], depth: int = 0
    ) -> None:
        """Record why the clamps of a chain that the packet does not enter do not apply."""
        self._steps += len(chain.rules)
        if depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return
        packet = stage.packet(base.priority)
        for index, rule in enumerate(chain.rules):
            own = match_rule(rule.match, packet, stage.hook).misses
            misses = tuple(dict.fromkeys((*reasons, *own)))
            if isinstance(rule.action, ClampTo):
                self._record(index, self._missed(chain, rule, stage.hook, misses))
            target = self._target(chain, rule)
            if target is not None:
                self._explain(target, base, stage, misses, depth + 1)

    def explain_rest(self) -> None:
        """Record clamps in chains that no packet of this flow can enter."""
        for chain in self._ruleset.chains:
            for index, rule in enumerate(chain.rules):
                key = (chain.table, chain.name, index)
                if isinstance(rule.action, ClampTo) and key not in self.visits:
                    miss = _unentered(chain)
                    hook = chain.hook or "forward"
                    self._record(index, self._missed(chain, rule, hook, (miss,)))

    def _record(self, index: int, visit: ClampVisit) -> None:
        key = (visit.chain.table, visit.chain.name, index)
        old = self.visits.get(key)
        if old is None or _rank(visit) > _rank(old):
            self.visits[key] = visit
        elif visit.changed and not old.changed:
            self.visits[key] = replace(old, changed=True)


def _rank(visit: ClampVisit) -> tuple[int, int]:
    order: dict[Tri, int] = {"no": 0, "maybe": 1, "yes": 2}
    return order[visit.applies], -len(visit.misses)


def _unentered(chain: Chain) -> Mismatch:
    if chain.hook is None:
        return Mismatch("unreached", f"sits in chain {chain.name}, which no rule jumps to")
    if chain.devices and chain.hook in {"ingress", "egress"}:
        listed = ", ".join(chain.devices)
        text = f"hangs on {listed} only"
        if chain.hook == "ingress":
            return Mismatch("in-interface", text, chain.devices)
        return Mismatch("out-interface", text, chain.devices)
    return Mismatch("hook", f"hangs in hook {chain.hook}, which forwarded packets do not pass")


def _may_skip(chain: Chain, packet: Packet) -> bool:
    """Say whether a chain may be one of type nat, which sees only a connection's first packet."""
    if packet.handshake == "syn":
        return False
    return (chain.hook, chain.priority) in {
        ("prerouting", DNAT_PRIORITY),
        ("postrouting", SNAT_PRIORITY),
    }


def _with_mss(matched: Matched, rule: Rule, live: Span) -> Matched:
    """Add the rule's MSS bounds to a match."""
    size = match_mss(rule.match, live.low, live.high)
    if size == "yes":
        return matched
    if size == "no":
        miss = Mismatch("mss", f"asks for another MSS than {live.high}")
        return Matched("no", (*matched.misses, miss), matched.doubts)
    if matched.verdict == "no":
        return matched
    doubt = Mismatch("mss", "asks for an MSS that this packet may not have")
    return Matched("maybe", matched.misses, (*matched.doubts, doubt))


def _split(live: Span, rule: Rule, matched: Matched) -> tuple[Span, State]:
    """Divide the packets into those that match and those that go on."""
    if matched.verdict == "yes":
        return live, None
    above, at_most = rule.match.mss_above_bytes, rule.match.mss_at_most_bytes
    low = live.low if above is None else max(live.low, above + 1)
    high = live.high if at_most is None else min(live.high, at_most)
    taken = Span(low, high)
    if any(doubt.kind != "mss" for doubt in matched.doubts):
        return taken, live
    # Only the size decides: those below and those above the bounds go on.
    below = Span(live.low, low - 1) if low > live.low else None
    over = Span(high + 1, live.high) if high < live.high else None
    return taken, hull(below, over)
