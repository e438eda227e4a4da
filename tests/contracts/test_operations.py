"""What the pages about running the tool show is typed, in its order."""

import re
import shutil
import xml.etree.ElementTree as ET

import pytest

from mtughost.app.fleets import virtual_fleet
from mtughost.cli.exits import MEANINGS
from mtughost.lab.fleet import FleetSpec

PAGES = ("approval-by-pull-request", "nightly-audit", "regional-workers")


@pytest.fixture(scope="module")
def pages(checkout):
    folder = checkout / "runbooks" / "operations"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}


@pytest.fixture
def typed(pages, newcomer, console_commands):
    def work_through(page):
        for command in console_commands(pages[page]):
            done = newcomer.type(command)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    return work_through


def test_the_index_links_every_page_and_every_link_leads_somewhere(pages, checkout):
    index = (checkout / "runbooks" / "README.md").read_text(encoding="utf-8")
    links = [link for text in pages.values() for link in re.findall(r"\]\(([a-z-]+)\.md\)", text)]

    assert tuple(pages) == PAGES
    assert all(f"](operations/{page}.md)" in index for page in PAGES)
    assert set(links) <= set(PAGES)


def test_the_nightly_audit_works_as_its_page_says(pages, typed, newcomer, monkeypatch):
    script = re.search(r"```sh\n# (nightly-audit\.sh)\n(.*?)```", pages["nightly-audit"], re.DOTALL)
    (newcomer.work / script[1]).write_text(script[2], encoding="utf-8")
    monkeypatch.setenv("XDG_STATE_HOME", newcomer.env["XDG_STATE_HOME"])
    out = newcomer.work / "out"
    spec = FleetSpec(sites=6, seed=3, vendors=("fortinet",))
    with virtual_fleet(spec, name="nightly") as fleet:
        newcomer.env |= {"MTUGHOST_PROJECT": str(fleet.project), "OUT": str(out)}
        typed("nightly-audit")

    suite = ET.parse(out / "audit.xml").getroot()  # noqa: S314 - our own
    assert (int(suite.get("tests")), int(suite.get("errors"))) == (6, 0)
    assert int(suite.get("failures")) > 0
    assert "mtughost_run_start_timestamp_seconds" in (out / "mtughost.prom").read_text()
    assert (out / "audit.log").read_text().startswith("run ")
    assert all((out / name).stat().st_size for name in ("audit.json", "sites.csv", "fleet.html"))


def test_the_nightly_audit_says_what_to_do_on_every_exit_code_that_an_audit_has(pages):
    rows = re.findall(r"^\| (\d+) \|", pages["nightly-audit"], re.MULTILINE)

    # 5, 6 and 7 belong to repairs; the other page has them.
    assert {int(code) for code in rows} == set(MEANINGS) - {5, 6, 7}
    assert {"5", "6", "7"} <= set(
        re.findall(r"^\| (\d+) \|", pages["approval-by-pull-request"], re.MULTILINE)
    )


@pytest.mark.lab
@pytest.mark.nightly(basis="real program")
@pytest.mark.timeout(300)
def test_a_plan_is_approved_by_pull_request_as_its_page_says(typed, newcomer):
    typed("approval-by-pull-request")

    log = newcomer.type("git -C plans log --format=%s").stdout.splitlines()
    names = sorted(path.name for path in (newcomer.work / "plans").glob("*.json"))
    assert [line.partition(":")[0] for line in log] == ["Approve", "Plan"]
    assert names[0] == "s001.json"
    assert "approval" in names[1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed here")
def test_the_certificates_of_regional_workers_are_made_as_their_page_says(typed):
    typed("regional-workers")


@pytest.mark.parametrize("program", ["scheduler", "worker"])
def test_the_page_starts_dask_with_the_options_that_the_tests_start_it_with(
    pages, checkout, program
):
    shown = re.search(
        rf"^dask {program} (.*?[^\\])$",
        pages["regional-workers"],
        re.MULTILINE | re.DOTALL,
    )[1]
    world = (checkout / "tests" / "app" / "dask_world.py").read_text(encoding="utf-8")
    tls = {"--tls-ca-file", "--tls-cert", "--tls-key"}
    options = set(re.findall(r"--[a-z-]+", shown))

    assert tls <= options
    assert all(f'"{option}"' in world for option in options - tls)
