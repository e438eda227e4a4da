"""The failing connection as a sequence picture: frame numbers, sizes, and where it breaks.

Rows stand in the capture's order and not to scale in time: what matters lies microseconds apart,
and the last retransmission seconds behind. It reads without colour: a lost packet ends in a cross.
"""

from __future__ import annotations

from typing import Final

from mtughost.report.safe_text import for_html
from mtughost.report.svg_shapes import STANDALONE_STYLE, Sheet, label
from mtughost.report.ticket import Exchange, ExchangeStep

_WIDTH: Final = 470
_CLIENT_X, _SERVER_X, _MIDDLE_X = 62, 408, 235
_TOP, _ROW, _SKIP = 74, 34, 26
#: What fits between the two lifelines.
_WORDS_CHARS: Final = 50


def sequence_picture(exchange: Exchange, *, ident: str, standalone: bool = False) -> str:
    """Return one well-formed ``<svg>`` element.

    Args:
        exchange: The connection.
        ident: Prefix for the ids of title and description: letters, digits and hyphens.
        standalone: Bring colours along, for use outside our page.
    """
    sheet = Sheet()
    height = _draw(sheet, exchange)
    style = f"<style>{STANDALONE_STYLE}</style>" if standalone else ""
    title = f"The failing connection at {exchange.host} ({exchange.point}), packet by packet"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pp pp-sequence" role="img" '
        f'viewBox="0 0 {_WIDTH} {height}" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{for_html(title, lines=False)}</title>'
        f'<desc id="{ident}-d">{for_html(sequence_sentence(exchange), lines=False)}</desc>'
        f"{style}{sheet.text()}</svg>"
    )


def sequence_sentence(exchange: Exchange) -> str:
    """Return the picture in one sentence."""
    lost = [step for step in exchange.steps if step.lost]
    sizes = "/".join(dict.fromkeys(str(step.wire_bytes) for step in lost))
    gaps = [step for step in exchange.steps if step.bad and not step.lost]
    if lost:
        frames = ", ".join(str(step.frame) for step in lost)
        return f"Never acknowledged: frames {frames} ({sizes} bytes with Ethernet header)."
    if gaps:
        return f"It goes wrong at frame {gaps[0].frame}: {gaps[0].words}."
    return "Nothing stands out in the packets that are shown."


def _draw(sheet: Sheet, exchange: Exchange) -> int:
    y = _TOP
    rows: list[tuple[ExchangeStep, int]] = []
    for step in exchange.steps:
        y += _SKIP if step.skipped else 0
        rows.append((step, y))
        y += _ROW
    bottom = y - _ROW + 16
    for x, end, name in (
        (_CLIENT_X, "client", exchange.client),
        (_SERVER_X, "server", exchange.server),
    ):
        sheet.write(x, 16, end, "pp-small")
        sheet.write(_edge(x), 34, label(name, 34), "pp-name", anchor=_anchor(x))
        sheet.lifeline(x, 44, bottom)
    sheet.write(4, 58, "frame", "pp-small", anchor="start")
    sheet.write(_WIDTH - 4, 58, "s", "pp-small", anchor="end")
    for step, at in rows:
        if step.skipped:
            sheet.write(_MIDDLE_X, at - 30, f"{step.skipped} packets not shown", "pp-small")
        _row(sheet, step, at)
    return bottom + 8


def _edge(x: int) -> int:
    return 4 if x == _CLIENT_X else _WIDTH - 4


def _anchor(x: int) -> str:
    return "start" if x == _CLIENT_X else "end"


def _row(sheet: Sheet, step: ExchangeStep, y: int) -> None:
    bad = step.bad or step.lost
    sheet.write(4, y + 4, str(step.frame), "pp-mtu", anchor="start")
    sheet.write(_WIDTH - 4, y + 4, f"{step.at_s:.3f}", "pp-small", anchor="end")
    words = label(f"{step.wire_bytes}: {step.words}", _WORDS_CHARS)
    sheet.write(_MIDDLE_X, y - 7, words, "pp-say pp-lost" if bad else "pp-say")
    begin, end = (_CLIENT_X, _SERVER_X) if step.up else (_SERVER_X, _CLIENT_X)
    sheet.arrow((begin, y), (end, y), "lost" if bad else "plain", lost=step.lost)
