from __future__ import annotations

import os
import time

import pytest

from mtughost.fleet.inventory import load_inventory
from mtughost.model.errors import InventoryError, UsageError
from mtughost.model.inventory import Credential, Device, Service, SiteInfo

PLATFORMS = ("linux", "fortinet")

TWO_DEVICES = """\
s001-ap1:
  hostname: 10.20.0.10
  platform: linux
  groups: [retail]
  data: {site: s001, role: ap}
s001-gw1:
  hostname: 10.20.0.1
  port: 2222
  platform: fortinet
  groups: [retail]
  data: {site: s001, role: gateway, wan: [wan1, wan2], ap_vlan: vlan20, vdom: root, isp: Example}
"""

RADSEC = Service(name="radsec", host="203.0.113.10", port=2083, tls="mutual")


def load(folder):
    return load_inventory(folder, known_platforms=PLATFORMS)


def problems_of(folder) -> list[InventoryError]:
    with pytest.raises(InventoryError) as caught:
        load(folder)
    return [caught.value, *caught.value.others]


def test_files_become_frozen_devices_and_sites(write_inventory):
    folder = write_inventory(TWO_DEVICES)
    inventory = load(folder)

    key = str(folder.absolute() / "keys/id_ed25519")
    credential = Credential(realm="auditor+key:keys/id_ed25519", username="auditor", key_file=key)
    assert inventory.devices == (
        Device(
            name="s001-ap1",
            address="10.20.0.10",
            platform="linux",
            site="s001",
            role="ap",
            credential=credential,
            services=(RADSEC,),
        ),
        Device(
            name="s001-gw1",
            address="10.20.0.1",
            port=2222,
            platform="fortinet",
            site="s001",
            role="gateway",
            credential=credential,
            wan=("wan1", "wan2"),
            ap_vlan="vlan20",
            vdom="root",
        ),
    )
    assert [site.name for site in inventory.sites] == ["s001"]
    assert inventory.sites[0].info == SiteInfo(isp="Example")
    assert inventory.warnings == ()
    assert inventory.groups["s001-ap1"] == ("retail",)


def test_groups_and_defaults_files_may_be_absent(write_inventory):
    folder = write_inventory(
        "a: {hostname: 192.0.2.1, username: u, platform: linux,"
        " data: {site: s, role: gateway, use_agent: true}}",
        groups=None,
    )

    assert [device.name for device in load(folder).devices] == ["a"]


def test_the_nearest_layer_wins_and_a_null_ends_inheritance(write_inventory):
    folder = write_inventory(
        """\
        a:
          hostname: 192.0.2.1
          groups: [near, far]
          data: {site: s, role: ap, jump: ~}
        b:
          hostname: 192.0.2.2
          groups: [far, near]
          data: {site: s, role: ap, jump: ""}
        j: {hostname: 192.0.2.9, data: {role: jump, jump: ""}}
        """,
        groups="""\
        near: {username: near, groups: [above], data: {vdom: near}}
        far: {username: far, port: 2022, data: {vdom: far, managed_by: Controller}}
        above: {platform: linux, data: {vdom: above, circuit: C1}}
        """,
        defaults="""\
        port: 22
        username: default
        platform: fortinet
        data: {use_agent: true, jump: j, services: [{name: web, host: example.net, port: 443}]}
        """,
    )
    inventory = load(folder)
    a, b = inventory.devices

    assert (a.credential.username, a.port, a.platform, a.vdom) == ("near", 2022, "linux", "near")
    assert (b.credential.username, b.port, b.platform, b.vdom) == ("far", 2022, "linux", "far")
    assert a.managed_by == b.managed_by == "Controller"
    assert a.jump == b.jump == ""
    assert inventory.groups["a"] == ("near", "above", "far")
    assert inventory.groups["b"] == ("far", "near", "above")
    assert inventory.sites[0].info.circuit == "C1"


def test_a_jump_host_is_known_and_never_audited(write_inventory):
    folder = write_inventory(
        """\
        a: {hostname: 192.0.2.1, groups: [retail], platform: linux,
            data: {site: s1, role: ap, jump: inner}}
        b: {hostname: 192.0.2.1, groups: [retail], platform: linux,
            data: {site: s2, role: ap, jump: outer}}
        inner: {hostname: 192.0.2.8, username: hop,
                data: {role: jump, use_agent: true, jump: outer}}
        outer: {hostname: 192.0.2.9, username: hop, data: {role: jump, use_agent: true}}
        """
    )
    inventory = load(folder)

    assert [device.name for device in inventory.devices] == ["a", "b"]
    assert [hop.name for hop in inventory.jump_chain(inventory.known["a"])] == ["outer", "inner"]
    assert inventory.known["inner"].role == "jump"


def test_one_address_may_occur_behind_different_jump_hosts(write_inventory):
    folder = write_inventory(
        """\
        a: {hostname: "2001:DB8::1", groups: [retail], platform: linux, data: {site: s, role: ap}}
        b: {hostname: "2001:db8:0::1", groups: [retail], platform: linux,
            data: {site: t, role: ap, jump: a}}
        c: {hostname: "2001:db8:0::1", port: 2022, groups: [retail], platform: linux,
            data: {site: t, role: ap}}
        """
    )

    assert len(load(folder).devices) == 3


def test_both_members_of_a_pair_know_each_other_when_one_says_so(write_inventory):
    folder = write_inventory(
        """\
        a: {hostname: 192.0.2.1, groups: [retail], platform: linux,
            data: {site: s, role: gateway, ha_peer: b}}
        b: {hostname: 192.0.2.2, groups: [retail], platform: linux, data: {site: s, role: gateway}}
        """
    )
    inventory = load(folder)

    assert [device.ha_peer for device in inventory.devices] == ["b", "a"]
    assert inventory.known["b"].ha_peer == "a"


HOST = "{hostname: 192.0.2.1, groups: [retail], platform: linux, data: {site: s, role: ap}}"

#: Hosts file, then line, host, key and a word of a problem that must be told.
HOSTILE = [
    ("", 1, "", "", "no host is listed"),
    ("# nothing\n", 1, "", "", "no host is listed"),
    ("[a, b]\n", 1, "", "", "expected a mapping"),
    ("a: 5\n", 1, "a", "", "expected a mapping"),
    ("a: {hostname: 192.0.2.1\n", 2, "", "", "not valid YAML"),
    ("a:\n  hostnam: 192.0.2.1\n", 2, "a", "hostnam", "Did you mean hostname"),
    ("a:\n  data:\n    rolle: ap\n", 3, "a", "data.rolle", "Did you mean role"),
    (
        "a:\n  data:\n    services:\n    - {name: x, host: y, port: 1, prt: 2}\n",
        4,
        "a",
        "data.services[0].prt",
        "Did you mean port",
    ),
    ("a:\n  platform: linux\n", 1, "a", "hostname", "is missing"),
    (f"a: {HOST}\nb: {HOST}\n", 2, "b", "hostname", "already a (line 1)"),
    (f"a: {HOST}\na: {HOST}\n", 2, "a", "", "duplicate key, first given in line 1"),
    (f"ap: {HOST}\nAP: {HOST}\n", 2, "AP", "", "only in case from ap"),
    ("a:\n  groups: [retial]\n", 2, "a", "groups[0]", "Did you mean retail"),
    ("a:\n  groups: retail\n", 2, "a", "groups", "expected a list"),
    ("a:\n  port: no\n", 2, "a", "port", "quote it"),
    ("a:\n  port: 022\n", 2, "a", "port", "octal"),
    ("a:\n  port: '22'\n", 2, "a", "port", "expected a whole number, got '22'"),
    ("a:\n  port: 22.0\n", 2, "a", "port", "expected a whole number"),
    ("a:\n  port: true\n", 2, "a", "port", "expected a whole number"),
    ("a:\n  port: 0\n", 2, "a", "port", "from 1 to 65535"),
    ("a:\n  port: 65536\n", 2, "a", "port", "from 1 to 65535"),
    ("a:\n  hostname: 10\n", 2, "a", "hostname", "Quote it"),
    ("a:\n  hostname: -oProxyCommand=id\n", 2, "a", "hostname", "DNS name"),
    ("a:\n  hostname: 10.20.0.300\n", 2, "a", "hostname", "IPv4"),
    ("a:\n  hostname: 10.020.0.3\n", 2, "a", "hostname", "IPv4"),
    ("a:\n  hostname: 0.0.0.0\n", 2, "a", "hostname", "one device"),
    ("a:\n  hostname: 224.0.0.1\n", 2, "a", "hostname", "one device"),
    ("a:\n  hostname: user@10.0.0.1\n", 2, "a", "hostname", "DNS name"),
    ('a:\n  hostname: "fe80::1%;id"\n', 2, "a", "hostname", "DNS name"),
    (f"a:\n  hostname: {'x' * 300}\n", 2, "a", "hostname", "253"),
    (f"a:\n  hostname: {'x' * 64}.net\n", 2, "a", "hostname", "DNS name"),
    ("a:\n  username: -l\n", 2, "a", "username", "leading dash"),
    ("a:\n  username: a b\n", 2, "a", "username", "login name"),
    ('a:\n  username: "a\\nb"\n', 2, "a", "username", "control"),
    ("-oProxyCommand=id: {}\n", 1, "", "", "begins with a letter"),
    ("../../x: {}\n", 1, "", "", "begins with a letter"),
    ("a..b: {}\n", 1, "", "", "expected a name"),
    ("a/b: {}\n", 1, "", "", "expected a name"),
    ("a b: {}\n", 1, "", "", "expected a name"),
    ("'a,b': {}\n", 1, "", "", "expected a name"),
    ('"a\\x1b[2J": {}\n', 1, "", "", "expected a name"),
    ('"a\\u202e": {}\n', 1, "", "", "expected a name"),
    (f"{'a' * 254}: {{}}\n", 1, "", "", "253"),
    ("1: {}\n", 1, "", "", "quote it"),
    ("no: {}\n", 1, "", "", "quote it"),
    ("a:\n  data: {site: ../x}\n", 2, "a", "data.site", "expected a name"),
    ('a:\n  data: {isp: "x\\u202ey"}\n', 2, "a", "data.isp", "control"),
    ('a:\n  data: {ticket: "a\\x1b]52;c;x"}\n', 2, "a", "data.ticket", "control"),
    ("a:\n  data: {ap_vlan: 'vlan20; id'}\n", 2, "a", "data.ap_vlan", "interface"),
    ("a:\n  data: {wan: wan1}\n", 2, "a", "data.wan", "expected a list"),
    ("a:\n  data: {wan: [-x]}\n", 2, "a", "data.wan[0]", "interface"),
    ("a:\n  data: {role: switch}\n", 2, "a", "data.role", "'ap', 'gateway'"),
    ("a:\n  data: {use_agent: 'yes'}\n", 2, "a", "data.use_agent", "true or false"),
    ("a:\n  data: {key_file: ''}\n", 2, "a", "data.key_file", "path"),
    ("a:\n  data: {lab: real}\n", 2, "a", "data.lab", "'foundry'"),
    ("a:\n  data: {services: []}\n  port: 70000\n", 3, "a", "port", "65535"),
    ("a:\n  data: {services: [{name: x}]}\n", 2, "a", "data.services[0].host", "is missing"),
    (
        "a:\n  data: {services: [{name: x, host: 'a b', port: 1}]}\n",
        2,
        "a",
        "data.services[0].host",
        "DNS name",
    ),
    (
        "a:\n  data: {services: [{name: x, host: h, port: 1, tls: yes}]}\n",
        2,
        "a",
        "data.services[0].tls",
        "quote it",
    ),
    ("a: &x {}\nb: *x\n", 2, "b", "", "alias"),
    ("a: !!python/object/apply:os.system [id]\n", 1, "a", "", "tag"),
    (
        "a:\n  connection_options: {ssh: {nope: 1}}\n",
        2,
        "a",
        "connection_options.ssh.nope",
        "Known",
    ),
]


@pytest.mark.parametrize(("hosts", "line", "host", "key", "word"), HOSTILE)
def test_a_wrong_hosts_file_is_told_with_file_line_host_and_key(
    write_inventory, hosts, line, host, key, word
):
    folder = write_inventory(hosts)
    found = problems_of(folder)

    where = (str(folder / "hosts.yaml"), line, host, key)
    told = [p for p in found if (p.path, p.line, p.host, p.key) == where]
    assert word in str(told)
    assert all(text.isprintable() for text in str(found[0]).splitlines())


LINKS = [
    ("a: {jump: b}", "a", "data.jump", "no host is called b"),
    ("a: {jump: a}", "a", "data.jump", "its own jump host"),
    ("a: {jump: b}\nb: {jump: c}\nc: {jump: a}", "a", "data.jump", "a > b > c > a"),
    ("x: {jump: a}\na: {jump: b}\nb: {jump: a}", "a", "data.jump", "a > b > a"),
    ("a: {ha_peer: b}", "a", "data.ha_peer", "no host is called b"),
    ("a: {ha_peer: a}", "a", "data.ha_peer", "its own HA peer"),
    ("a: {ha_peer: b}\nb: {site: t}", "a", "data.ha_peer", "stands in site t"),
    ("a: {ha_peer: b}\nb: {ha_peer: c}\nc: {ha_peer: b}", "a", "data.ha_peer", "names c"),
    ("a: {ha_peer: c}\nb: {ha_peer: c}\nc: {}", "b", "data.ha_peer", "already is the peer of a"),
    ("a: {isp: One}\nb: {isp: Two}", "b", "data.isp", "another isp at a"),
    ("a: {timezone: Mars/Olympus}", "a", "data.timezone", "IANA"),
]


@pytest.mark.parametrize(("rows", "host", "key", "word"), LINKS)
def test_hosts_that_do_not_fit_together_are_told(write_inventory, rows, host, key, word):
    lines = []
    for number, row in enumerate(rows.splitlines()):
        name, _, data = row.partition(": ")
        site = "" if "site:" in data else "site: s, "
        comma = ", " if data != "{}" else ""
        lines.append(
            f"{name}: {{hostname: 192.0.2.{number + 1}, groups: [retail], platform: linux, "
            f"data: {{{site}role: gateway{comma}{data.strip('{}')}}}}}"
        )
    found = problems_of(write_inventory("\n".join(lines)))

    assert [(p.host, p.key) for p in found] == [(host, key)]
    assert word in str(found[0])


def test_an_unknown_platform_is_told_with_the_known_ones(write_inventory):
    folder = write_inventory(TWO_DEVICES.replace("platform: linux", "platform: linx"))
    (problem,) = problems_of(folder)

    assert (problem.line, problem.host, problem.key) == (3, "s001-ap1", "platform")
    assert "Did you mean linux? Known platforms: fortinet, linux" in str(problem)
    assert load_inventory(folder).devices[0].platform == "linx"  # unchecked without a list


def test_a_platform_that_a_group_gives_is_told_once_at_the_group(write_inventory):
    folder = write_inventory(
        "a: {hostname: 192.0.2.1, groups: [g], data: {site: s, role: ap}}\n"
        "b: {hostname: 192.0.2.2, groups: [g], data: {site: s, role: ap}}\n",
        groups="g:\n  username: u\n  platform: nope\n  data: {use_agent: true}\n",
    )
    (problem,) = problems_of(folder)

    assert (problem.path, problem.line) == (str(folder / "groups.yaml"), 3)
    assert problem.host == "group g"


@pytest.mark.parametrize(
    ("missing", "key"),
    [("platform: linux", "platform"), ("role: ap", "data.role"), ("site: s001, ", "data.site")],
)
def test_what_a_device_needs_and_nobody_says_is_missing(write_inventory, missing, key):
    text = TWO_DEVICES.replace(missing, "").replace("{site: s001, }", "{site: s001}")
    problem = problems_of(write_inventory(text))[0]

    assert (problem.host, problem.key) == ("s001-ap1", key)
    assert "is missing: expected" in str(problem)


def test_a_device_without_user_or_any_way_to_log_in_is_told(write_inventory):
    found = problems_of(write_inventory(TWO_DEVICES, groups="retail: {}\n"))

    assert {(p.host, p.key) for p in found} == {
        ("s001-ap1", "username"),
        ("s001-ap1", "data.key_file"),
        ("s001-gw1", "username"),
        ("s001-gw1", "data.key_file"),
    }


def test_groups_that_inherit_in_a_circle_are_told_once(write_inventory):
    folder = write_inventory(
        "a: {hostname: 192.0.2.1, groups: [x]}\n",
        groups="x: {groups: [y]}\ny: {groups: [z]}\nz: {groups: [x]}\n",
    )
    circles = [p for p in problems_of(folder) if "circle" in p.reason]

    assert [(p.host, p.line) for p in circles] == [("group z", 3)]
    assert "x > y > z > x" in str(circles[0])


def test_a_very_long_chain_of_groups_is_an_error_and_not_a_crash(write_inventory):
    chain = "".join(f"g{n}: {{groups: [g{n + 1}]}}\n" for n in range(3000)) + "g3000: {}\n"
    folder = write_inventory("a: {hostname: 192.0.2.1, groups: [g0]}\n", groups=chain)

    assert any("groups deep" in str(p) for p in problems_of(folder))


def test_problems_of_all_files_are_told_together_in_the_order_of_the_files(write_inventory):
    folder = write_inventory(
        "a:\n  prt: 1\nb:\n  port: 0\n  hostname: a b\n",
        groups="g: {usr: x}\n",
        defaults="plattform: x\n",
    )
    with pytest.raises(InventoryError) as caught:
        load(folder)
    lines = str(caught.value).splitlines()

    assert [line.split(": ")[0].removeprefix(f"{folder}{os.sep}") for line in lines] == [
        "hosts.yaml:2",
        "hosts.yaml:4",
        "hosts.yaml:5",
        "groups.yaml:1",
        "defaults.yaml:1",
    ]


def test_a_thousand_problems_are_cut_and_counted(write_inventory):
    folder = write_inventory("".join(f"h{n}: {{nope: 1}}\n" for n in range(1000)))

    assert "and 900 more problems" in str(problems_of(folder)[-1])


def test_missing_and_unreadable_files_are_told(tmp_path, write_inventory):
    with pytest.raises(InventoryError, match="does not exist"):
        load(tmp_path / "nowhere")
    folder = write_inventory(TWO_DEVICES)
    (folder / "groups.yaml").write_bytes(b"retail:\n  username: \xff\n")
    with pytest.raises(InventoryError, match=r"groups\.yaml:2: expected UTF-8"):
        load(folder)
    (folder / "groups.yaml").unlink()
    (folder / "groups.yaml").mkdir()
    with pytest.raises(InventoryError, match="not a regular file"):
        load(folder)
    (folder / "groups.yaml").rmdir()
    os.mkfifo(folder / "groups.yaml")
    with pytest.raises(InventoryError, match="not a regular file"):
        load(folder)


SECRET = "hunter2-not-real"


def test_a_literal_password_is_accepted_with_a_warning_that_does_not_quote_it(write_inventory):
    folder = write_inventory(TWO_DEVICES, groups=f"retail: {{username: u, password: {SECRET}}}\n")
    inventory = load(folder)

    assert inventory.devices[0].credential.password_ref == SECRET
    (warning,) = [text for text in inventory.warnings if "plain text" in text]
    assert warning.startswith(f"{folder}/groups.yaml:1: group retail: ")
    assert SECRET not in repr(inventory)
    assert SECRET not in str(inventory.warnings)
    assert "literal-1" in inventory.devices[0].credential.realm


def test_two_literals_of_one_user_are_two_realms(write_inventory):
    folder = write_inventory(
        TWO_DEVICES.replace("platform: linux", "platform: linux\n  password: first"),
        groups="retail: {username: u, password: second}\n",
    )

    assert [device.credential.realm for device in load(folder).devices] == [
        "u+literal-1",
        "u+literal-2",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        f"password: [{SECRET}]",
        f"password: {{a: {SECRET}}}",
        "password: 123456789",
        "password: 0123456789",
        "password: ''",
        "password: env:1bad",
        f"data: {{password_ref: {SECRET}}}",
        f"data: {{password_ref: [{SECRET}]}}",
        f"data: {{enable_ref: {SECRET}}}",
        f'data: {{password_ref: "env:A\\n{SECRET}"}}',
        f"passwrd: {SECRET}",
    ],
)
def test_a_wrong_password_entry_is_told_without_its_value(write_inventory, wrong):
    folder = write_inventory(TWO_DEVICES, groups=f"retail:\n  username: u\n  {wrong}\n")
    with pytest.raises(InventoryError) as caught:
        load(folder)

    text = str(caught.value) + repr(caught.value)
    assert "groups.yaml:3" in text
    assert SECRET not in text
    assert "123456789" not in text


def test_references_are_kept_and_relative_files_start_at_the_inventory(write_inventory):
    folder = write_inventory(
        TWO_DEVICES, groups="retail: {username: u, data: {password_ref: 'file:secret.txt'}}\n"
    )

    credential = load(folder).devices[0].credential
    assert credential.password_ref == f"file:{folder.absolute()}/secret.txt"
    assert credential.realm == "u+file:secret.txt"


def test_logins_with_another_password_for_the_privileged_mode_are_another_realm(write_inventory):
    groups = "retail: {username: u, data: {key_file: k, enable_ref: 'file:secret.txt'}}\n"
    folder = write_inventory(TWO_DEVICES, groups=groups)

    credential = load(folder).devices[0].credential
    assert credential.enable_ref == f"file:{folder.absolute()}/secret.txt"
    assert credential.realm == "u+key:k+enable:file:secret.txt"


def test_the_nearer_of_password_and_password_ref_wins(write_inventory):
    folder = write_inventory(
        TWO_DEVICES.replace("platform: linux", "platform: linux\n  password: env:NEAR"),
        groups="retail: {username: u, data: {password_ref: env:GROUP}}\n",
        defaults="password: env:FAR\n",
    )

    assert [device.credential.password_ref for device in load(folder).devices] == [
        "env:NEAR",
        "env:GROUP",
    ]


def test_both_kinds_of_password_in_one_place_are_an_error(write_inventory):
    folder = write_inventory(
        TWO_DEVICES,
        groups="retail: {username: u, password: env:A, data: {password_ref: env:B}}\n",
    )

    assert "not both" in str(problems_of(folder)[0])


def test_an_access_point_without_services_is_a_warning(write_inventory):
    folder = write_inventory(TWO_DEVICES, groups="retail: {username: u, data: {use_agent: true}}\n")

    assert [w for w in load(folder).warnings if "no services" in w and "s001-ap1" in w]


def test_connection_options_of_other_tools_are_a_warning(write_inventory):
    folder = write_inventory(
        TWO_DEVICES, defaults="connection_options: {netmiko: {extras: {fast_cli: true}}}\n"
    )

    assert "mtughost does not use them" in load(folder).warnings[0]


def test_the_digest_changes_with_any_of_the_files(write_inventory):
    digests = {load(write_inventory(TWO_DEVICES)).digest}
    digests.add(load(write_inventory(TWO_DEVICES + "# note\n")).digest)
    digests.add(load(write_inventory(TWO_DEVICES, defaults="port: 22\n")).digest)

    assert len(digests) == 3


def test_an_unknown_site_is_a_usage_error(write_inventory):
    inventory = load(write_inventory(TWO_DEVICES))

    assert inventory.site("s001").name == "s001"
    with pytest.raises(UsageError, match="s999"):
        inventory.site("s999")


def test_four_thousand_hosts_load_in_seconds(write_inventory):
    text = "".join(
        f"s{n:04}-{role}:\n  hostname: 10.{n // 250}.{n % 250}.{octet}\n  platform: linux\n"
        f"  groups: [retail]\n  data: {{site: s{n:04}, role: {role}}}\n"
        for n in range(2000)
        for octet, role in ((10, "ap"), (1, "gateway"))
    )
    folder = write_inventory(text)
    started = time.process_time()
    inventory = load(folder)

    assert len(inventory.devices) == 4000
    assert time.process_time() - started < 10
