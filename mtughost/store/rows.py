"""Values to rows of the run store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mtughost.model.session import Answer
from mtughost.store.bodies import pack_json_text, pack_text


def answer_row(run_id: str, host: str, position: int, answer: Answer) -> tuple[object, ...]:
    """Return one answer's row; compressed here, in the caller's thread."""
    body = pack_text(answer.text)
    return (
        run_id,
        host,
        position,
        answer.command_id,
        clean(answer.line),
        answer.exit_code,
        answer.status,
        clean(answer.error),
        answer.started_utc,
        answer.duration_s,
        body.size_bytes,
        body.sha256,
        body.packed,
    )


def clean(text: str) -> str:
    """Return text that SQLite can store: undecodable bytes become visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def report_rows(
    run_id: str, report: Mapping[str, Any]
) -> tuple[str, list[tuple[str, int, bytes]], list[tuple[str, str, str]]]:
    """Return a report as it is stored: everything but its sites, its sites, their verdicts.

    Sites stand in rows of their own, packed, so that whoever reads or writes a report of ten
    thousand holds one at a time; verdicts, so that trends need not read reports.
    """
    sites, verdicts = [], []
    for position, site in enumerate(report.get("sites", ())):
        sites.append((run_id, position, pack_json_text(to_json(site))))
        verdicts.append((run_id, str(site["site"]), str(site["verdict"])))
    rest = {**report, "sites": []} if "sites" in report else report
    return to_json(rest), sites, verdicts


def to_json(value: Mapping[str, object]) -> str:
    """Return JSON as it is stored; the same values give the same text."""
    return json.dumps(dict(value), allow_nan=False, sort_keys=True)
