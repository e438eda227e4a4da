"""The page in a real browser: no sideways scrolling on a phone, nothing lost, nothing run."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace

import pytest

from mtughost.report.html import render_audit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: Debian package chromium"),
]

#: The page is put into a frame of exact width and measured from outside: it runs no script itself.
MEASURE = """<!doctype html><body style="margin:0">
<iframe style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe><pre id="out"></pre>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const doc = frame.contentDocument, root = doc.documentElement, wide = [];
  for (const item of doc.querySelectorAll("body *")) {{
    const box = item.getBoundingClientRect();
    if (box.width && box.left >= 0 && box.right > root.clientWidth + 0.5)
      wide.push(item.tagName + "." + item.getAttribute("class"));
  }}
  const lying = doc.querySelector(".pp-lying"), standing = doc.querySelector(".pp-standing");
  const shown = item => item && item.getBoundingClientRect().width > 0;
  document.getElementById("out").textContent = JSON.stringify({{
    scroll: root.scrollWidth, client: root.clientWidth, wide: wide.slice(0, 9),
    lying: shown(lying), standing: shown(standing),
    sections: doc.querySelectorAll("section").length,
    scripts: doc.querySelectorAll("script").length, hit: String(frame.contentWindow.pwned),
    styled: frame.contentWindow.getComputedStyle(doc.body).margin,
  }});
}};
</script>"""


def measured(tmp_path, page, width):
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(MEASURE.format(width=width, page=html.escape(page)), "utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={max(width, 600)},1000", "--virtual-time-budget=8000",
        "--dump-dom", wrapper.as_uri(),
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            dom = process.communicate(timeout=60)[0].decode()
        finally:
            # Only the group that this test started: its helpers outlive a killed leader.
            _end_group(process.pid)
    found = re.search(r'<pre id="out">(.+?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    return json.loads(html.unescape(found.group(1)))


def _end_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("width", [320, 360, 768, 1056, 1057, 1280])
def test_nothing_sticks_out_sideways(report, templates, tmp_path, width):
    seen = measured(tmp_path, render_audit(report, templates), width)

    assert seen["wide"] == []
    assert seen["scroll"] <= seen["client"]
    assert seen["sections"] == len(report.sites)
    assert seen["styled"] == "0px"


def test_a_phone_sees_the_standing_picture_and_a_desk_the_lying_one(report, templates, tmp_path):
    page = render_audit(report, templates)

    phone = measured(tmp_path, page, 360)
    desk = measured(tmp_path, page, 1280)

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
def test_hostile_names_neither_run_nor_break_the_layout(poison, templates, tmp_path, text):
    poisoned = poison(text)
    few = replace(poisoned, sites=poisoned.sites[1:3])

    seen = measured(tmp_path, render_audit(few, templates), 360)

    assert seen["wide"] == []
    assert seen["scroll"] <= seen["client"]
    assert seen["scripts"] == 0
    assert seen["hit"] == "undefined"
