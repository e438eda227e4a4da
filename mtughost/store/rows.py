"""Values to rows of the run store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtughost.model.session import Answer
from mtughost.store.bodies import pack_text


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


def site_rows(run_id: str, report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the verdicts of a report, so that trends need not read whole reports."""
    return [(run_id, str(s["site"]), str(s["verdict"])) for s in report.get("sites", ())]
