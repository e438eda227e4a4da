"""The fleet as a whole, in words."""

from __future__ import annotations

from dataclasses import replace

from mtughost.model.findings import Contrast, FleetView
from mtughost.report.fleet_view import fleet_text


def view(value="A"):
    contrast = Contrast(
        feature="isp", value=value, failing=9, passing=0, others_failing=0, others_passing=9,
        chance=0.00004, tests=5,
    )  # fmt: skip
    return FleetView(contrasts=(contrast,), judged=18, unknown=2)


def test_latent_sites_come_first_then_contrasts_with_their_figures(report):
    text = fleet_text(replace(report, fleet=view()))

    assert text.split("\n") == [
        "these sites work today, by luck:",
        "  s003: clamp-missing",
        "what failing sites share (18 judged, 2 not):",
        "  isp A: 9 of 9 sites fail, elsewhere 0 of 9 (p 4e-05, 5 tested)",
    ]


def test_nothing_to_tell_is_nothing_and_device_text_cannot_act(report):
    fine = replace(report, sites=tuple(s for s in report.sites if s.verdict == "ok"))
    nothing = FleetView(contrasts=(), judged=3, unknown=0)

    assert fleet_text(fine) == ""
    assert fleet_text(replace(fine, fleet=nothing)) == ""
    assert "\x1b" not in fleet_text(replace(fine, fleet=view("\x1b[2J")))
