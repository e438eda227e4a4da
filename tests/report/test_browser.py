"""The page in a real browser: no sideways scrolling on a phone, nothing lost, nothing run."""

from dataclasses import replace

import pytest

from mtughost.report.html import render_audit

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [320, 360, 768, 1056, 1057, 1280])
def test_nothing_sticks_out_sideways(report, templates, in_browser, width):
    seen = in_browser(render_audit(report, templates), width)

    assert seen["wide"] == []
    assert seen["scroll"] <= seen["client"]
    assert seen["sections"] == len(report.sites)
    assert seen["styled"] == "0px"


def test_a_phone_sees_the_standing_picture_and_a_desk_the_lying_one(report, templates, in_browser):
    page = render_audit(report, templates)

    phone = in_browser(page, 360)
    desk = in_browser(page, 1280)

    assert (phone["standing"], phone["lying"]) == (True, False)
    assert (desk["standing"], desk["lying"]) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        "A" * 3000,
        "\u4e2d" * 500,
        "<script>window.pwned=1</script>",
        '"><img src=x onerror="window.pwned=1">',
        "</style><script>window.pwned=1</script>",
        "\u05e9\u05dc\u05d5\u05dd 1492 \u0633\u0644\u0627\u0645",
    ],
)
def test_hostile_names_neither_run_nor_break_the_layout(poison, templates, in_browser, text):
    poisoned = poison(text)
    few = replace(poisoned, sites=poisoned.sites[1:3])

    seen = in_browser(render_audit(few, templates), 360)

    assert seen["wide"] == []
    assert seen["scroll"] <= seen["client"]
    assert seen["scripts"] == 0
    assert seen["hit"] == "undefined"
