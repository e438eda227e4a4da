"""Sites whose rules are written in one odd way each: what the coverage table says of them."""

from __future__ import annotations

from tests.diagnose import conftest as b


def walks():
    """Return evidence per case, by the name of its file."""
    return {f"rules {name}": b.World(rules=rules).evidence() for name, rules in chains().items()}


def sub(*rules, name="sub"):
    return b.chain(*rules, hook=None, name=name)


def jump(name="j1", to="sub", **match):
    return b.rule(name, action=b.Jump(chain=to, goto=match.pop("goto", False)), **match)


def chains():
    doubt = {"opaque": ("ct mark 1",)}
    pair = b.both_ways()
    return {
        "jump missed": (b.chain(jump(oif="vlan30")), sub(*pair)),
        "jump taken": (b.chain(jump()), sub(*pair)),
        "jump shadowed": (b.chain(b.rule("fw 1"), jump()), sub(*pair)),
        "jump to itself": (b.chain(b.rule("fw 1"), jump(to="forward"), *pair),),
        "jump in doubt": (b.chain(jump(**doubt)), sub(*pair)),
        "jump to nowhere": (b.chain(jump(to="gone"), *pair),),
        "jump through two": (
            b.chain(jump(oif="vlan30")),
            sub(jump("j2", to="deep")),
            sub(*pair, name="deep"),
        ),
        "goto": (b.chain(jump(goto=True), *pair), sub(b.rule("in 1", action="pass"))),
        "accept in a jump": (b.chain(jump(), *pair), sub(b.rule("in 1"))),
        "drop in a jump": (b.chain(jump(), *pair), sub(b.rule("in 1", action="drop"))),
        "return in a jump": (b.chain(jump(), *pair), sub(b.rule("in 1", action="return"))),
        "drop in doubt in a jump": (
            b.chain(jump(), *pair),
            sub(b.rule("in 1", action="drop", **doubt)),
        ),
        "accept in doubt": (b.rule("fw 1", **doubt), *pair),
        "drop in doubt": (b.rule("fw 1", action="drop", **doubt), *pair),
        "clamp in doubt": tuple(b.both_ways(to=1400, **doubt)),
        "clamp in doubt then sure": (*b.both_ways(to=1400, **doubt), *pair),
        "two doubts": (b.clamp("d", to=1400, opaque=("ct mark 1", "limit")),),
        "nothing but a count": (b.rule("n", action="pass", **doubt), *pair),
        "other hook": (b.chain(*pair, hook="output", name="output"),),
        "other family": (b.chain(*pair, families=frozenset({"ipv6"}), table="ip6 clamp"),),
        "other device in": (
            b.chain(b.clamp("i"), hook="ingress", name="in", devices=("lte0", "lte1")),
        ),
        "other device out": (b.chain(b.clamp("o"), hook="egress", name="out", devices=("lte0",)),),
        "own device": (b.chain(b.clamp("o", to=1400), hook="egress", name="o", devices=("wan0",)),),
        "before routing": (b.chain(b.clamp("p"), hook="prerouting", name="pre"),),
        "after routing": (b.chain(*pair, hook="postrouting", name="post"),),
        "maybe of type nat": (
            b.chain(b.clamp("n", to=1400), hook="postrouting", priority=100, name="nat"),
        ),
        "larger only": (b.clamp("l", to=1400, mss_above_bytes=1460),),
        "smaller only": (b.clamp("s", to=1400, mss_at_most_bytes=1459),),
        "size in doubt": (
            b.clamp("d", to=1400, **doubt),
            b.clamp("s", to=1300, mss_at_most_bytes=1450),
        ),
        "raised again": (*pair, b.clamp("r", to=1460, can_raise=True)),
        "to an unknown mtu": (
            b.chain(b.clamp("p", can_raise=True), hook="prerouting", name="pre"),
        ),
        "policy drop": (b.chain(*pair, policy="drop"), b.chain(policy="drop", name="late")),
        "two priorities": (
            b.chain(b.clamp("late", to=1400), priority=10, name="late"),
            b.chain(b.clamp("early", to=1300), priority=-10, name="early"),
        ),
        "twice": (
            b.chain(
                b.clamp("low", to=1400),
                jump("j1"),
                b.clamp("up", to=1460, can_raise=True),
                jump("j2"),
            ),
            sub(b.clamp("inside", to=1450)),
        ),
        "accepting clamp": (b.clamp("one", to=1440, then="accept"), b.clamp("two", to=1400)),
        "no counter": (b.clamp("bare", packets=None),),
        "one packet": (b.clamp("bare", packets=1),),
        "closest": (
            b.clamp("far", iif="x", oif="y", sources="192.0.2.0/24"),
            b.clamp("near", handshake=frozenset()),
            b.clamp("port", destination_ports=443, source_ports=443),
        ),
    }
