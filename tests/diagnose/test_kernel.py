"""The walk against the kernel: the MSS it predicts is the one that real packets carry."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace

import pytest

from mtughost import lab
from mtughost.diagnose import prove_coverage
from mtughost.dialects import netfilter
from mtughost.model.session import Answer

FWD = "type filter hook forward priority mangle; policy accept;"
SYN = "tcp flags & (syn|rst) == syn"
RULESETS = {
    "nothing": "",
    "both ways": f"chain f {{ {FWD}\n {SYN} tcp option maxseg size set rt mtu\n}}",
    "out only": f"chain f {{ {FWD}\n oifname wan0 {SYN} tcp option maxseg size set rt mtu\n}}",
    "in only": f"chain f {{ {FWD}\n iifname wan0 {SYN} tcp option maxseg size set 1400\n}}",
    "other vlan": f"chain f {{ {FWD}\n iifname vlan30 {SYN} tcp option maxseg size set 1400\n}}",
    "negated": f"chain f {{ {FWD}\n iifname != vlan30 {SYN} tcp option maxseg size set 1400\n}}",
    "shadowed": f"""chain f {{ {FWD}
        ct state established accept
        {SYN} tcp option maxseg size set rt mtu
    }}""",
    "accept elsewhere": f"""chain early {{ type filter hook forward priority -200; accept
    }}
    chain f {{ {FWD}
        {SYN} tcp option maxseg size set 1400
    }}""",
    "order by priority": f"""chain late {{ type filter hook forward priority 10;
        {SYN} tcp option maxseg size set 1420
    }}
    chain early {{ type filter hook forward priority -10;
        {SYN} tcp option maxseg size set 1440
    }}""",
    "never raises": f"chain f {{ {FWD}\n {SYN} tcp option maxseg size set 1480\n}}",
    "size guard": f"""chain f {{ {FWD}
        {SYN} tcp option maxseg size 1453-65535 tcp option maxseg size set 1452
    }}""",
    "jump and return": f"""chain sub {{ iifname wan0 return
        {SYN} tcp option maxseg size set 1410
    }}
    chain f {{ {FWD}
        jump sub
        {SYN} tcp option maxseg size set 1450
    }}""",
    "goto": f"""chain sub {{ {SYN} tcp option maxseg size set 1410
    }}
    chain f {{ {FWD}
        oifname wan0 goto sub
        {SYN} tcp option maxseg size set 1300
    }}""",
    "accept in a jump": f"""chain sub {{ oifname wan0 accept
    }}
    chain f {{ {FWD}
        jump sub
        {SYN} tcp option maxseg size set 1300
    }}""",
    "by port": f"chain f {{ {FWD}\n tcp dport 2083 {SYN} tcp option maxseg size set 1300\n}}",
    "by reply port": f"chain f {{ {FWD}\n tcp sport 2083 tcp option maxseg size set 1300\n}}",
    "prerouting": f"""chain p {{ type filter hook prerouting priority mangle;
        iifname wan0 {SYN} tcp option maxseg size set 1300
    }}""",
    "postrouting": f"""chain p {{ type filter hook postrouting priority mangle;
        oifname wan0 {SYN} tcp option maxseg size set rt mtu
    }}""",
    "syn alone": f"""chain f {{ {FWD}
        tcp flags & (fin|syn|rst|ack) == syn tcp option maxseg size set 1300
    }}""",
    "output": f"""chain o {{ type filter hook output priority mangle;
        {SYN} tcp option maxseg size set 1300
    }}""",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labs")
    spec = lab.LabSpec(name="walk", sites=lab.sites_of(["clamp-missing"], tls="1.2"))
    try:
        running = lab.up(spec, root=folder)
        running.settle()
        yield running, running.sites[0]
    finally:
        lab.down_all(root=folder)


TCPMSS = ["-p", "tcp", "--tcp-flags", "SYN,RST", "SYN", "-j", "TCPMSS"]
IPTABLES = {
    "iptables out to pmtu": [["-o", "wan0", *TCPMSS, "--clamp-mss-to-pmtu"]],
    "iptables any to pmtu": [[*TCPMSS, "--clamp-mss-to-pmtu"]],
    "iptables set, never raising": [[*TCPMSS, "--set-mss", "1480"]],
    "iptables behind an accept": [
        ["-i", "wan0", "-j", "ACCEPT"],
        [*TCPMSS, "--set-mss", "1400"],
    ],
}


def load(running, gateway, rules):
    for table in ("clamp", "t"):
        running.in_device(gateway, ["nft", "delete", "table", "inet", table])
    running.in_device(gateway, ["iptables", "-t", "mangle", "-F", "FORWARD"])
    if isinstance(rules, str):
        text = f"table inet t {{\n{rules}\n}}\n"
        running.in_device(gateway, ["nft", "-f", "-"], text_in=text, check=True)
        return
    for rule in rules:
        line = ["iptables", "-t", "mangle", "-A", "FORWARD", *rule]
        running.in_device(gateway, line, check=True)


def measured(running, site, service):
    """Return the MSS of the SYN leaving wan0 and of the SYN-ACK leaving vlan20."""
    line = ["tcpdump", "-i", "any", "-n", "-l", "--immediate-mode",
            f"tcp port {service.port} and tcp[tcpflags] & tcp-syn != 0"]  # fmt: skip
    watcher = subprocess.Popen(
        running.device_command(site.gateway, ["timeout", "8", *line]),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with watcher:
        while "listening on" not in watcher.stderr.readline():
            pass
        connect = f"exec 3<>/dev/tcp/{service.host}/{service.port}"
        running.in_device(site.device, ["timeout", "3", "bash", "-c", connect], check=True)
        found, lines = {}, []
        for line in watcher.stdout:
            lines.append(line)
            seen = re.search(r"(\S+)\s+Out .* Flags \[(S\.?)\].*?mss (\d+)", line)
            if seen and seen[1] in {"wan0", "vlan20"}:
                found[seen[2]] = int(seen[3])
            if len(found) == 2:
                break
        watcher.terminate()
    assert set(found) == {"S", "S."}, "".join(lines)
    return found["S"], found["S."]


def ruleset_of(running, gateway):
    def answer(name, *argv):
        done = running.in_device(gateway, list(argv))
        return Answer(command_id=name, line=" ".join(argv), text=done.stdout,
                      exit_code=done.returncode)  # fmt: skip

    return netfilter.read({
        "nft-json": answer("nft-json", "nft", "-j", "list", "ruleset"),
        "nft-text": answer("nft-text", "nft", "-a", "list", "ruleset"),
        "iptables-save": answer("iptables-save", "iptables-save", "-c"),
        "ip6tables-save": answer("ip6tables-save", "ip6tables-save", "-c"),
        "xtables-legacy": answer(
            "xtables-legacy", "cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"
        ),
    })  # fmt: skip


def addresses_of(running, device):
    text = running.in_device(device, ["ip", "-j", "-4", "addr"], check=True).stdout
    return {
        link["ifname"]: link["addr_info"][0]["local"]
        for link in json.loads(text)
        if link["addr_info"]
    }


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_every_prediction_is_what_the_kernel_does(b, site):
    running, built = site
    service = built.service
    gateway, ap = addresses_of(running, built.gateway), addresses_of(running, built.device)
    names = b.Names(
        ap=built.device, gateway=built.gateway, wan=built.wan, lan="vlan20", other="vlan30",
        ap_address=ap[built.device_port], lan_address=gateway["vlan20"],
        wan_address=gateway[built.wan], server=service.host,
    )  # fmt: skip

    table = {}
    for name, rules in (RULESETS | IPTABLES).items():
        load(running, built.gateway, rules)
        evidence = b.World(names=names).evidence()
        facts = evidence.facts_of(built.gateway)
        ruleset = ruleset_of(running, built.gateway)
        known = replace(facts.clamps, value=ruleset)
        rows = {
            r.key.direction: r.mss.configured
            for r in prove_coverage(evidence.with_facts(replace(facts, clamps=known)))
        }
        table[name] = ((rows["down"], rows["up"]), measured(running, built, service))

    wrong = {name: pair for name, pair in table.items() if pair[0] != pair[1]}
    assert not wrong
