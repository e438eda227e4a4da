"""An import is checked as a whole inventory before a byte of hosts.yaml changes."""

import pytest

from mtughost.app.importing import ImportRequest, plan_import
from mtughost.app.inventory import open_inventory
from mtughost.app.project import init_project, open_project
from mtughost.cli.main import run
from mtughost.fleet.importing.hosts import ColumnMap
from mtughost.model.errors import InventoryError, UsageError

USUAL = {"platform": "linux", "username": "audit", "key_file": "~/.ssh/audit"}


@pytest.fixture
def project(tmp_path):
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    init_project(tmp_path / "stores", env=env)
    (tmp_path / "stores/inventory/hosts.yaml").unlink()
    return open_project(tmp_path / "stores", env=env)


def csv(tmp_path, text):
    path = tmp_path / "stores.csv"
    path.write_text(text, encoding="utf-8")
    return ImportRequest(kind="csv", source=str(path), mapping=ColumnMap(constants=USUAL))


def test_an_imported_inventory_is_read_back_with_what_the_table_said(project, tmp_path):
    request = csv(
        tmp_path,
        "name,hostname,site,role,wan\ns9-gw1,10.9.0.1,s9,gateway,wan1;lte0\ns9-j,192.0.2.9,,jump,\n",
    )
    plan = plan_import(project, request)
    plan.write()
    again = plan_import(project, request)
    inventory = open_inventory(project)

    assert (plan.added, again.added, again.unchanged) == (("s9-gw1", "s9-j"), (), 2)
    assert inventory.known["s9-gw1"].wan == ("wan1", "lte0")
    assert inventory.known["s9-gw1"].address == "10.9.0.1"


def test_a_row_that_would_break_the_inventory_is_refused_and_nothing_is_written(project, tmp_path):
    request = csv(tmp_path, "name,hostname,site,role,jump\na,10.0.0.1,s1,ap,nowhere\n")

    with pytest.raises(InventoryError, match="nowhere") as refused:
        plan_import(project, request)

    assert str(project.inventory_dir / "hosts.yaml") in str(refused.value)
    assert not (project.inventory_dir / "hosts.yaml").exists()


def test_a_file_that_was_edited_meanwhile_is_not_overwritten(project, tmp_path):
    plan = plan_import(project, csv(tmp_path, "name,hostname,site,role\na,10.0.0.1,s1,gateway\n"))
    path = project.inventory_dir / "hosts.yaml"
    path.write_text("b: {}\n", encoding="utf-8")

    with pytest.raises(InventoryError, match="changed meanwhile"):
        plan.write()

    assert path.read_text(encoding="utf-8") == "b: {}\n"


def test_the_shipped_inventory_is_never_written_to(tmp_path):
    shipped = open_project(env={"XDG_STATE_HOME": str(tmp_path)}, cwd=tmp_path)

    with pytest.raises(UsageError, match="mtughost init"):
        plan_import(shipped, csv(tmp_path, "name,hostname,site,role\na,10.0.0.1,s1,gateway\n"))


def test_the_command_shows_a_diff_tells_bad_rows_and_takes_the_good_ones(project, tmp_path, capsys):
    request = csv(tmp_path, "dev,hostname,site,role\na,10.0.0.1,s1,gateway\nb,10.0.0.300,s1,ap\n")
    words = ["--project", str(project.root), "inventory", "import", "csv", request.source]
    words += ["--map", "name=dev", *(f"--set={name}={value}" for name, value in USUAL.items())]
    path = project.inventory_dir / "hosts.yaml"

    assert run(words) == 3
    assert run([*words, "--keep-going", "--dry-run"]) == 3
    assert "+a:" in capsys.readouterr().out
    assert not path.exists()
    assert run([*words, "--keep-going"]) == 3
    said = capsys.readouterr()

    assert "stores.csv:3: b: hostname" in said.err
    assert "1 hosts were added" in said.out
    assert path.read_text(encoding="utf-8").startswith("a:\n")


def test_without_ansible_the_message_says_how_to_get_the_json(project, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    request = ImportRequest(kind="ansible", source=str(tmp_path / "stores.ini"))

    with pytest.raises(InventoryError, match="ansible-inventory -i INVENTORY --list"):
        plan_import(project, request)
