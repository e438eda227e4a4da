"""Data cannot become commands: 0 extra commands whatever an inventory cell or a plan holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost.content.book import Book
from mtughost.content.book_parts import ParamSpec
from mtughost.content.render import render_command
from mtughost.content.values import checked, unsafe_character
from mtughost.model.errors import ContentError
from mtughost.model.session import RenderedCommand

TEXT_TYPES = (
    "interface",
    "ipv4",
    "ipv6",
    "address",
    "network",
    "hostname",
    "path",
    "token",
    "run-token",
)
LINE_ENDS = ["\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
SHELL = [
    ";",
    "|",
    "`",
    "$(",
    "&&",
    "&",
    ">",
    "<",
    "'",
    '"',
    "\\",
    "*",
    "?",
    "~",
    "#",
    "!",
    "(",
    "{",
]
CONTROL = ["\t", "\x00", "\x03", "\x1a", "\x1b", "\x7f", "\x9b", "\u202e", "\u200b", " "]
JINJA = "{{ cycler.__init__.__globals__.os.popen('id').read() }}"


def spec(kind: str, **more: int) -> ParamSpec:
    return ParamSpec.model_validate({"type": kind, **more})


def good(kind: str) -> str:
    return {
        "ipv4": "10.0.0.1",
        "ipv6": "2001:db8::1",
        "address": "10.0.0.1",
        "network": "10.0.0.0/8",
        "path": "/etc/x",
        "run-token": "0123456789abcdef",
    }.get(kind, "eth0")


@pytest.mark.parametrize("kind", TEXT_TYPES)
@pytest.mark.parametrize("bad", LINE_ENDS + SHELL + CONTROL)
def test_nothing_that_a_shell_or_terminal_acts_on_fits_any_type(kind, bad):
    for value in (good(kind) + bad, bad + good(kind), good(kind)[:2] + bad + good(kind)[2:]):
        with pytest.raises(ContentError, match="refused"):
            checked("value", value, spec(kind))


@pytest.mark.parametrize("kind", TEXT_TYPES)
@pytest.mark.parametrize(
    "value", [JINJA, "-oProxyCommand=x", "../../x", "a b", "x" * 300, "", 7, None]
)
def test_code_options_traversal_and_wrong_types_are_refused(kind, value):
    with pytest.raises(ContentError, match="refused"):
        checked("value", value, spec(kind))


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("interface", "br-lan.20", "br-lan.20"),
        ("interface", "GigabitEthernet0/0/1.20", "GigabitEthernet0/0/1.20"),
        ("ipv4", "203.0.113.10", "203.0.113.10"),
        ("ipv6", "2001:0DB8::0:1", "2001:db8::1"),
        ("network", "10.20.0.0/24", "10.20.0.0/24"),
        ("hostname", "cloud.example.net", "cloud.example.net"),
        ("hostname", "2001:db8::1", "2001:db8::1"),
        ("path", "/var/log/radsecproxy.log", "/var/log/radsecproxy.log"),
        ("token", "clamp-scope.1", "clamp-scope.1"),
        ("run-token", "0123456789abcdef", "0123456789abcdef"),
        ("run-token", "@MTUGHOST-TOKEN@", "@MTUGHOST-TOKEN@"),
    ],
)
def test_good_values_are_written_in_one_spelling(kind, value, written):
    assert checked("value", value, spec(kind)) == written


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ipv4", "2001:db8::1"),
        ("ipv4", "010.0.0.1"),
        ("ipv4", "1.2.3"),
        ("ipv6", "fe80::1%eth0"),
        ("ipv6", "10.0.0.1"),
        ("network", "10.20.0.1/24"),
        ("hostname", "-x"),
        ("hostname", "a..b"),
        ("interface", "a/../b"),
        ("path", "relative"),
        ("path", "/a/../b"),
        ("run-token", "0123456789ABCDEF"),
    ],
)
def test_near_misses_are_refused(kind, value):
    with pytest.raises(ContentError):
        checked("value", value, spec(kind))


@pytest.mark.parametrize("value", [0, 10, -1, True, 1.0, "5", None, "\u0665"])
def test_an_integer_is_a_whole_number_in_its_range_and_nothing_else(value):
    with pytest.raises(ContentError, match="whole number from 1 to 9"):
        checked("count", value, spec("integer", min=1, max=9))


def test_a_list_is_checked_item_by_item_and_bounded():
    many = ParamSpec.model_validate({"type": "port", "many": True})

    assert checked("ports", [2083, 8443], many) == (2083, 8443)
    for bad in ([], list(range(1, 18)), "2083", [2083, 0], [2083, "8443"], 2083):
        with pytest.raises(ContentError):
            checked("ports", bad, many)


def test_a_script_takes_only_rendered_lines_and_quotes_them():
    line = RenderedCommand(command_id="x", line="nft 'a b'; true", risk="change")

    assert checked("undo", (line,), spec("script")) == ("'nft '\"'\"'a b'\"'\"'; true'",)
    for bad in (
        "rm -rf /",
        ["rm -rf /"],
        [RenderedCommand(command_id="x", line="a\nb", risk="change")],
    ):
        with pytest.raises(ContentError):
            checked("undo", bad, spec("script"))


@settings(max_examples=600)
@given(st.sampled_from(TEXT_TYPES), st.text(max_size=40))
def test_whatever_is_accepted_is_one_plain_word(kind, value):
    try:
        written = checked("value", value, spec(kind))
    except ContentError:
        return

    assert isinstance(written, str)
    assert written.isascii()
    assert unsafe_character(written) is None
    assert not set(written) & set(" ;|&$`<>'\"\\*?~#!(){}[]\n\r\t")


BOOK = Book.model_validate(
    {
        "platform": "tiny",
        "title": "t",
        "driver": "exec",
        "pipeline": "proven",
        "pipeline_source": "t",
        "commands": {
            "look": {
                "run": "show {{ name }} on {{ interface }}",
                "risk": "passive",
                "basis": "document",
                "params": {"name": {"type": "hostname"}, "interface": {"type": "interface"}},
            }
        },
        "read": {},
    }
)
TEMPTING = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from([*LINE_ENDS, *SHELL, *CONTROL, "a", "eth0", "{{", "}}"]), max_size=8
    ).map("".join),
)


@settings(max_examples=2500)
@given(TEMPTING, TEMPTING)
def test_no_value_makes_a_second_command_or_another_word(name, interface):
    try:
        command = render_command(BOOK, "look", {"name": name, "interface": interface})
    except ContentError:
        return

    assert len(command.line.splitlines()) == 1
    assert command.line.split(" ") == ["show", name, "on", interface] or ":" in name
