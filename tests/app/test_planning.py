"""What is refused before anything is planned, and when a site's night is."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from mtughost.app.inventory import shared_keys
from mtughost.app.papers import load_papers, signers_of
from mtughost.app.planning import refuse_copies
from mtughost.app.windows import hull, next_window
from mtughost.model.errors import PlanRefusedError, UsageError
from mtughost.model.inventory import Credential, Device
from mtughost.model.plans import PlanWindow


def device(name, ha_peer=""):
    login = Credential(realm="lab", username="root")
    return Device(
        name=name,
        address="192.0.2.1",
        site="s1",
        role="gateway",
        credential=login,
        ha_peer=ha_peer,
    )


def test_a_cloned_image_is_not_changed_because_nobody_can_tell_which_one_answers():
    keys = {"gw1": ("SHA256:a",), "gw2": ("SHA256:b", "SHA256:a"), "gw3": ("SHA256:c",)}

    with pytest.raises(PlanRefusedError, match="same host key as gw2"):
        refuse_copies(device("gw1"), keys)
    refuse_copies(device("gw3"), keys)
    refuse_copies(device("gw1", ha_peer="gw2"), keys)


def test_an_audit_names_all_that_share_a_host_key_and_no_pair():
    devices = [device("gw1"), device("gw2"), device("gw3"), device("ha1", "ha2"), device("ha2")]
    keys = {"gw1": ["a"], "gw2": ["b", "a"], "gw3": ["c"], "ha1": ["d"], "ha2": ["d"]}

    (warning,) = shared_keys(devices, keys.__getitem__)

    assert warning.startswith("2 devices have one host key: gw1, gw2.")


@pytest.mark.parametrize(
    ("now", "zone", "start", "end"),
    [
        # Winter and summer in Berlin, and a window that is open already.
        ("2026-01-10T20:00", "Europe/Berlin", "2026-01-11T00:00:00Z", "2026-01-11T04:00:00Z"),
        ("2026-07-10T20:00", "Europe/Berlin", "2026-07-10T23:00:00Z", "2026-07-11T03:00:00Z"),
        ("2026-01-10T02:00", "Europe/Berlin", "2026-01-10T00:00:00Z", "2026-01-10T04:00:00Z"),
        # The night in which the clocks jump is an hour shorter.
        ("2026-03-28T20:00", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"),
        ("2026-01-10T20:00", "America/New_York", "2026-01-11T06:00:00Z", "2026-01-11T10:00:00Z"),
    ],
)
def test_the_next_window_counts_in_the_sites_own_time(now, zone, start, end):
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)

    found = next_window("01:00-05:00", zone, moment)

    assert found == PlanWindow(start_utc=start, end_utc=end, tz=zone)


def test_a_window_over_midnight_that_began_yesterday_is_open():
    moment = datetime(2026, 1, 11, 0, 30, tzinfo=UTC)

    found = next_window("22:00-02:00", "Etc/UTC", moment)

    assert (found.start_utc, found.end_utc) == ("2026-01-10T22:00:00Z", "2026-01-11T02:00:00Z")


@pytest.mark.parametrize("hours", ["1-5", "01:00-25:00", "01:00", "01:00-01:00", "a\n01:00-02:00"])
def test_hours_that_are_none_are_refused(hours):
    with pytest.raises(UsageError, match="are no hours"):
        next_window(hours, "Etc/UTC", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime"])
def test_a_site_without_a_known_time_zone_gets_no_window(zone):
    with pytest.raises(UsageError, match="time zone"):
        next_window("01:00-05:00", zone, datetime(2026, 1, 1, tzinfo=UTC))


def test_without_devices_there_is_no_hull():
    assert hull(()) == PlanWindow()


# -- the files about a plan --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["plan.json", "plan.json.sig", "plan.json.b.approval.json", "plan.json.b.approval.json.sig"],
)
def test_a_link_in_place_of_a_plan_or_of_what_was_signed_about_it_is_refused(tmp_path, name):
    plan = tmp_path / "plan.json"
    for file in (plan, plan.with_name("plan.json.b.approval.json")):
        file.write_text("{}")
        file.with_name(f"{file.name}.sig").write_text("sig")
    assert [one.name for one in load_papers(plan).approvals] == ["plan.json.b.approval.json"]
    (tmp_path / name).rename(tmp_path / "elsewhere")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PlanRefusedError, match=f"{name} is a symbolic link"):
        load_papers(plan)


def test_a_plan_or_an_approval_without_its_signature_is_refused_and_a_missing_plan_too(tmp_path):
    plan = tmp_path / "plan.json"

    with pytest.raises(UsageError, match=r"plan\.json cannot be read: No such"):
        load_papers(plan)
    plan.write_text("{}")
    with pytest.raises(PlanRefusedError, match=r"plan\.json\.sig is missing"):
        load_papers(plan)


def test_a_list_of_revoked_keys_that_leads_nowhere_refuses_everything(tmp_path):
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0mQ4u6o9e2cS1pW5Jr7y3hTqv0bLkXw8dNzFgYxAbC"
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f'amy namespaces="mtughost-plan-v1",valid-before="20991231" {key}\n')
    allowed.chmod(0o600)
    project = SimpleNamespace(allowed_signers=allowed)

    assert signers_of(project).revoked == b""
    (tmp_path / "revoked_keys").symlink_to(tmp_path / "gone")
    with pytest.raises(PlanRefusedError, match="revoked_keys: cannot be read"):
        signers_of(project)
