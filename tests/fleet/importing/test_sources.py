"""CSV, Ansible and OpenSSH files become rows and hosts, with their places."""

import json

import pytest

from mtughost.fleet.importing.ansible import read_ansible
from mtughost.fleet.importing.csv_file import read_csv
from mtughost.fleet.importing.hosts import ColumnMap, make_hosts
from mtughost.fleet.importing.ssh_config import read_ssh_config
from mtughost.model.errors import InventoryError, UsageError

STORES = """\
\ufeffDevice;Mgmt IP;Store;Kind;Ckt;password
s001-ap1;10.1.0.10;s001;access point;0012;fake
s001-gw1;10.1.0.1;s001;firewall;"12:30";
"""
MAPPED = ColumnMap(
    columns={
        "name": "Device",
        "hostname": "Mgmt IP",
        "site": "Store",
        "role": "Kind",
        "circuit": "Ckt",
    },
    constants={"platform": "linux"},
    translations={"role": {"access point": "ap", "firewall": "gateway"}},
)


def problems_of(text, mapping=None):
    found = make_hosts(read_csv(text, "stores.csv"), mapping or ColumnMap())
    return [(error.line, error.host, error.key, error.reason) for error in found.problems]


def test_a_spreadsheet_export_with_semicolons_and_foreign_column_names_gives_hosts():
    found = make_hosts(read_csv(STORES, "stores.csv"), MAPPED)

    assert found.problems == ()
    assert found.hosts == {
        "s001-ap1": {
            "hostname": "10.1.0.10",
            "platform": "linux",
            "data": {"site": "s001", "role": "ap", "circuit": "0012"},
        },
        "s001-gw1": {
            "hostname": "10.1.0.1",
            "platform": "linux",
            "data": {"site": "s001", "role": "gateway", "circuit": "12:30"},
        },
    }


def test_a_column_of_passwords_is_never_read_and_the_note_says_what_to_do():
    found = make_hosts(read_csv(STORES, "stores.csv"), MAPPED)

    assert "password_ref" in found.notes[0]
    assert "fake" not in repr(found)


def test_every_wrong_row_is_told_with_its_line_and_the_good_ones_remain():
    text = (
        "name,hostname,port,role\n"
        "a,10.0.0.1,22,ap\n"
        '"two\nlines",10.0.0.2,22,ap\n'
        "b,10.0.0.300,70000,ap\n"
        "c,10.0.0.3\n"
        "\n"
        "a,10.0.0.4,22,ap\n"
        "d,10.0.0.5,22,roof\n"
        ",10.0.0.6,22,ap\n"
    )
    found = make_hosts(read_csv(text, "stores.csv"), ColumnMap())
    told = [(error.line, error.host, error.key) for error in found.problems]

    assert list(found.hosts) == ["a"]
    assert told == [
        (6, "", ""),
        (3, "two\nlines", "name"),
        (5, "b", "hostname"),
        (5, "b", "port"),
        (8, "a", "name"),
        (9, "d", "role"),
        (10, "", "name"),
    ]


def test_an_open_quote_ends_the_reading_with_its_line():
    assert problems_of('name,hostname\na,10.0.0.1\nb,"10.0.0.2\n')[0][0] == 3


@pytest.mark.parametrize("text", ["", "\n\n", "name,name\n"])
def test_a_file_without_a_usable_header_is_refused(text):
    with pytest.raises(InventoryError):
        read_csv(text, "stores.csv")


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (ColumnMap(columns={"hostnam": "b"}), "Did you mean hostname?"),
        (ColumnMap(columns={"name": "devise"}), "Did you mean device?"),
        (ColumnMap(), "--map name=COLUMN"),
        (ColumnMap(constants={"password": "fake"}), "there is no field 'password'"),
    ],
    ids=["field", "column", "no name", "password"],
)
def test_a_mapping_that_names_what_there_is_not_is_refused_with_a_hint(mapping, said):
    with pytest.raises(UsageError) as refused:
        make_hosts(read_csv("device,address\na,10.0.0.1\n", "stores.csv"), mapping)

    assert said in str(refused.value)


def test_an_ansible_inventory_gives_addresses_platforms_and_our_own_variables(checkout):
    # Recorded: ansible-inventory [core 2.19.14] -i ansible-stores.ini --list
    text = (checkout / "tests/fixtures/imports/ansible-stores.json").read_text(encoding="utf-8")
    found = make_hosts(read_ansible(text, "stores.json"), ColumnMap())

    assert found.problems == ()
    assert found.hosts["s202-gw1"] == {
        "hostname": "10.40.2.1",
        "port": 2222,
        "username": "audit",
        "platform": "cisco_xe",
        "data": {
            "site": "s202",
            "role": "gateway",
            "circuit": "0012",
            "key_file": "~/.ssh/audit",
        },
    }
    assert found.hosts["s202-ap1"]["platform"] == "linux"
    assert found.hosts["s202-ap1"]["data"]["jump"] == "s202-gw1"
    assert "fake-not-a-password" not in repr(found)


def test_groups_of_an_ansible_inventory_can_be_taken_over(checkout):
    text = (checkout / "tests/fixtures/imports/ansible-stores.json").read_text(encoding="utf-8")
    mapping = ColumnMap(columns={"groups": "group_names"})

    assert make_hosts(read_ansible(text, "x"), mapping).hosts["s201-ap1"]["groups"] == ["aps"]


def test_an_ansible_host_without_variables_is_not_lost():
    text = json.dumps({"_meta": {"hostvars": {}}, "ungrouped": {"hosts": ["lonely.example"]}})

    assert make_hosts(read_ansible(text, "x"), ColumnMap()).hosts == {
        "lonely.example": {"hostname": "lonely.example"}
    }


@pytest.mark.parametrize("text", ["", "[]", '{"all": {}}', '{"_meta": 3}', "[" * 100_000])
def test_what_ansible_did_not_print_is_refused(text):
    with pytest.raises(InventoryError):
        read_ansible(text, "stores.json")


SSH = """\
Host jump1
  HostName 192.0.2.1
Host s003-ap1 s003-ap2
  HostName 10.20.0.10
  User audit
  IdentityFile /keys/audit
  ProxyJump ops@jump1:22
Host s004-*
  User nobody
Host *
  Port 2200
"""


def test_an_ssh_configuration_gives_its_named_hosts_as_ssh_resolves_them():
    found = make_hosts(read_ssh_config(SSH, "config"), ColumnMap(constants={"platform": "linux"}))

    assert list(found.hosts) == ["jump1", "s003-ap1", "s003-ap2"]
    assert found.hosts["jump1"] == {"hostname": "192.0.2.1", "port": 2200, "platform": "linux"}
    assert found.hosts["s003-ap2"] == {
        "hostname": "10.20.0.10",
        "port": 2200,
        "username": "audit",
        "platform": "linux",
        "data": {"jump": "jump1", "key_file": "/keys/audit"},
    }


def test_what_an_ssh_configuration_says_and_an_inventory_cannot_is_noted():
    text = "Include other\nHost a\n  ProxyJump x,y\nHost b\n  ProxyCommand nc %h %p\n"
    source = read_ssh_config(text, "config")

    assert [row.cells["proxyjump"] for row in source.rows] == ["y", ""]
    assert len(source.notes) == 3


def test_a_configuration_that_runs_programs_is_refused():
    with pytest.raises(InventoryError, match="would run a program"):
        read_ssh_config('Match exec "touch /tmp/x"\n  User a\n', "config")
