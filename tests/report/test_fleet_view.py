"""The fleet as a whole, in words."""

from __future__ import annotations

from mtughost.report.fleet_view import FleetLines, fleet_text


def test_latent_sites_come_first_then_contrasts_with_their_figures():
    text = fleet_text(
        FleetLines(
            latent=[("s7", "clamp-missing"), ("s8", "")],
            contrasts=["isp A: 9 of 9 sites fail, elsewhere 0 of 9"],
            judged=18,
            unknown=2,
        )
    )

    assert text.split("\n") == [
        "these sites work today, by luck:",
        "  s7: clamp-missing",
        "  s8: see its notes",
        "what failing sites share (18 judged, 2 not):",
        "  isp A: 9 of 9 sites fail, elsewhere 0 of 9",
    ]


def test_nothing_to_tell_is_nothing_and_device_text_cannot_act():
    assert fleet_text(FleetLines(latent=(), contrasts=(), judged=3, unknown=0)) == ""
    hostile = FleetLines(latent=(), contrasts=["isp \x1b[2J"], judged=3, unknown=0)
    assert "\x1b" not in fleet_text(hostile)
