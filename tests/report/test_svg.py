import xml.etree.ElementTree as ET  # our own output is parsed here, nothing from outside
from dataclasses import replace

import pytest

from mtughost.report.summary import paths_of
from mtughost.report.svg import path_picture, path_sentences

NS = "{http://www.w3.org/2000/svg}"


def view_of(report, name):
    return paths_of(next(site for site in report.sites if site.site == name))[0]


def drawn(view, **kwargs):
    return ET.fromstring(path_picture(view, ident="p1", **kwargs))  # noqa: S314 - our own text


def words_of(svg):
    return [text.text for text in svg.iter(f"{NS}text")]


@pytest.mark.parametrize("layout", ["lying", "standing"])
def test_the_picture_is_well_formed_and_has_title_and_description(report, layout):
    svg = drawn(view_of(report, "site-a"), layout=layout)

    title, desc = svg.find(f"{NS}title"), svg.find(f"{NS}desc")
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby").split() == [title.get("id"), desc.get("id")]
    assert "site-a-ap1" in title.text
    assert "lost" in desc.text


@pytest.mark.parametrize("layout", ["lying", "standing"])
def test_every_hop_shows_its_mtu(report, layout):
    shown = " ".join(words_of(drawn(view_of(report, "s002"), layout=layout)))

    for word in ("AP or host", "VLAN", "Gateway", "WAN", "Tunnel", "Service", "1446", "1500"):
        assert word in shown


def test_both_directions_tell_their_mss(report):
    words = words_of(drawn(view_of(report, "site-a")))

    assert "SYN-ACK MSS 1460: AP sends up to 1500" in words
    assert "SYN MSS 1460: Service sends up to 1500" in words
    assert "1500 > 1492: lost here" in words


def test_unknown_hops_are_dashed_and_marked(report):
    svg = drawn(view_of(report, "s005"))

    dashed = [r for r in svg.iter(f"{NS}rect") if "pp-pipe-unknown" in r.get("class")]
    assert len(dashed) == 3
    assert {"VLAN ?", "WAN ?", "ISP ?"} <= set(words_of(svg))


def test_the_narrow_part_is_drawn_narrower(report):
    svg = drawn(view_of(report, "site-a"))

    bores = [int(r.get("height")) for r in svg.iter(f"{NS}rect") if r.get("class") == "pp-pipe"]
    assert bores[0] > bores[1]


def test_the_mark_stands_where_the_packet_stops(report):
    site_a = path_picture(view_of(report, "site-a"), ident="p")
    healthy = path_picture(view_of(report, "s004"), ident="p")

    assert "pp-mark pp-lost" in site_a
    assert "pp-lost" not in healthy


def test_a_standalone_picture_brings_its_colours(report):
    view = view_of(report, "site-a")

    assert "<style>" in path_picture(view, ident="p", standalone=True)
    assert "<style>" not in path_picture(view, ident="p")


def test_the_sentences_tell_what_the_picture_shows(report):
    hops, up, down = path_sentences(view_of(report, "site-a"))

    assert hops == "MTU: AP 1500, VLAN 1500, WAN 1492, whole path 1492."
    assert up.endswith("the WAN takes 1492: they are lost there.")
    assert down.startswith("Service to AP: the SYN carries MSS 1460")


def test_configured_figures_are_not_called_seen(report):
    up = path_sentences(view_of(report, "s006"))[1]

    assert "should, by the configuration, carry MSS 1452" in up


@pytest.mark.parametrize("layout", ["lying", "standing"])
def test_hostile_names_stay_text(report, hostile_text, layout):
    view = replace(
        view_of(report, "site-a"),
        service=hostile_text,
        ap=hostile_text,
        gateway=hostile_text,
        egress=hostile_text,
    )

    svg = drawn(view, layout=layout)

    assert {element.tag.removeprefix(NS) for element in svg.iter()} <= {
        "svg", "title", "desc", "rect", "text", "path", "circle",
    }  # fmt: skip
    assert not any(name.startswith("on") for e in svg.iter() for name in e.attrib)


@pytest.mark.parametrize("layout", ["lying", "standing"])
def test_an_unknown_gateway_and_way_out_are_said_to_be_unknown(report, layout):
    view = replace(view_of(report, "s005"), gateway="", egress="")

    svg = drawn(view, layout=layout)

    assert "an unknown gateway (unknown way out)" in svg.find(f"{NS}title").text
    assert "?" in words_of(svg)
