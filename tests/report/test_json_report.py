import json
from dataclasses import replace
from importlib import resources

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost.model.errors import ContentError
from mtughost.model.findings import AuditReport, Contrast
from mtughost.report.json_models import json_schema
from mtughost.report.json_report import (
    SCHEMA_RESOURCE,
    audit_from_dict,
    audit_to_dict,
    audit_to_text,
)


def shipped_schema():
    package = resources.files("mtughost").joinpath(*SCHEMA_RESOURCE)
    return json.loads(package.read_text("utf-8"))


@pytest.fixture(scope="module")
def validator():
    schema = shipped_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_shipped_schema_is_the_one_that_the_models_describe():
    assert shipped_schema() == json_schema()


def test_a_full_report_fits_the_schema(report, validator):
    validator.validate(audit_to_dict(report))


def test_the_shape_is_the_documented_one(report):
    data = audit_to_dict(report)

    site = next(item for item in data["sites"] if item["site"] == "site-a")
    flow = site["flows"][0]
    finding = site["findings"][0]

    assert set(data) == {
        "schema", "run_id", "started_utc", "tool", "content_digest", "hosts", "sites", "counts",
    }  # fmt: skip
    assert data["schema"] == "mtughost/audit/v1"
    assert flow["mtu"] == {"ap": 1500, "vlan": 1500, "wan": 1492, "tunnel": None}
    assert set(flow["mss"]) == {"configured", "installed", "observed", "needed"}
    assert flow["mss"]["observed"] == {"ap": 1460, "lan": 1460, "wan": 1460}
    assert flow["path_mtu"] == 1492
    assert flow["direction"] == "up"
    assert finding["flow"]["egress"] == "wan0"
    assert finding["evidence"][1]["line"] == 31
    assert "frame" not in finding["evidence"][1]
    assert finding["fix"]["value_bytes"] == 1452
    assert "next_test" not in site


def test_every_host_is_counted_once(report):
    hosts = audit_to_dict(report)["counts"]["hosts"]

    assert hosts["asked"] == hosts["ok"] + hosts["failed"] + hosts["skipped"] == len(report.hosts)


def test_counts_name_every_verdict_and_finding(report):
    counts = audit_to_dict(report)["counts"]

    assert counts["sites"] == {"fault": 2, "latent": 1, "unknown": 1, "not-mtu": 1, "ok": 3}
    assert counts["findings"]["clamp-scope"] == 1


def test_a_report_comes_back_equal(report):
    assert audit_from_dict(json.loads(audit_to_text(report))) == report


def test_the_text_is_inert_on_a_terminal(poison, hostile_text):
    text = audit_to_text(poison(hostile_text))

    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)


def test_hostile_texts_come_back_equal(poison, hostile_text, validator):
    poisoned = poison(hostile_text)
    encodable = hostile_text.encode("utf-8", "backslashreplace").decode()

    data = json.loads(audit_to_text(poisoned))

    validator.validate(data)
    assert audit_from_dict(data) == poison(encodable)


# A chance is a number: "not a number" would not even equal itself.
st.register_type_strategy(Contrast, st.builds(Contrast, chance=st.floats(0, 1)))
reports = st.from_type(AuditReport)


@settings(max_examples=60, deadline=None)
@given(reports)
def test_any_report_fits_the_schema_and_comes_back_equal(report):
    data = json.loads(audit_to_text(report))

    jsonschema.Draft202012Validator(shipped_schema()).validate(data)
    assert audit_from_dict(data) == report


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda d: d.pop("tool"), "tool"),
        (lambda d: d.update(schema="mtughost/audit/v2"), "schema"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d["sites"][1]["flows"][0]["mtu"].update(ap="1500"), "sites.1.flows.0.mtu.ap"),
        (lambda d: d["sites"][1].update(verdict="fine"), "sites.1.verdict"),
        (lambda d: d["sites"][1]["flows"][0].update(path_mtu=True), "sites.1.flows.0.path_mtu"),
        (lambda d: d["hosts"][0].update(status="maybe"), "hosts.0.status"),
    ],
)
def test_a_damaged_report_is_refused_by_key(report, change, key):
    data = audit_to_dict(report)
    change(data)

    with pytest.raises(ContentError) as caught:
        audit_from_dict(data, path="run.json")

    assert caught.value.key == key
    assert str(caught.value).startswith("run.json: ")


def test_unknown_figures_are_null_and_never_zero(report):
    unknown = next(site for site in report.sites if site.site == "s005")

    data = audit_to_dict(replace(report, sites=(unknown,)))

    flow = data["sites"][0]["flows"][0]
    assert flow["mtu"] == {"ap": 1500, "vlan": None, "wan": None, "tunnel": None}
    assert flow["covered"] is None
    assert flow["path_mtu"] is None
