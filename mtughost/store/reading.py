"""Rows of the run store to values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from mtughost.model.errors import StoreError
from mtughost.model.findings import HostStatus
from mtughost.model.packed import Packed
from mtughost.model.session import Answer
from mtughost.store.bodies import Body, unpack_json_text, unpack_text
from mtughost.store.values import (
    Ingested,
    RunInfo,
    RunMeta,
    StoredCapture,
    StoredHost,
    StoredPart,
    StoredRun,
)

_RUN_COLUMNS = (
    "id, kind, started_utc, ended_utc, state, tool, content_digest, inventory_digest, options"
)


#: What stands beside a packed body: names, digest, times, and the entry in the index.
_ROW_BYTES = 200


def read_runs(connection: sqlite3.Connection) -> tuple[RunInfo, ...]:
    """Return all runs, newest first, without the names of the hosts asked for."""
    rows = connection.execute(f"SELECT {_RUN_COLUMNS} FROM runs ORDER BY id DESC").fetchall()  # noqa: S608 - constants
    return tuple(_info(connection, row, ()) for row in rows)


def read_run(
    connection: sqlite3.Connection,
    run_id: str,
    *,
    bodies: bool,
) -> StoredRun:
    """Return one run, with answers and captures only where ``bodies`` is set.

    Raises:
        StoreError: no such run, or stored bytes that do not match their digest.
    """
    row = connection.execute(
        f"SELECT {_RUN_COLUMNS} FROM runs WHERE id = ?",  # noqa: S608 - constants
        (run_id,),
    ).fetchone()
    if row is None:
        raise no_such_run(run_id)
    asked = connection.execute(
        "SELECT host FROM asked WHERE run_id = ? ORDER BY position", (run_id,)
    )
    info = _info(connection, row, tuple(host for (host,) in asked))
    return StoredRun(
        info=info,
        hosts=_hosts(connection, run_id, info.meta.hosts, None, bodies=bodies),
        captures=_captures(connection, run_id, None) if bodies else (),
        probes=_probes(connection, run_id, None),
        report=read_report(connection, run_id),
    )


def read_part(connection: sqlite3.Connection, run_id: str, hosts: Sequence[str]) -> StoredPart:
    """Return what a run kept of some hosts, in that order.

    Raises:
        StoreError: stored bytes that do not match their digest.
    """
    return StoredPart(
        hosts=_hosts(connection, run_id, hosts, hosts, bodies=True),
        captures=_captures(connection, run_id, hosts),
        probes=_probes(connection, run_id, hosts),
    )


def read_report(connection: sqlite3.Connection, run_id: str) -> Mapping[str, object] | None:
    """Return the final report of a run, ``None`` where there is none."""
    row = connection.execute("SELECT data FROM reports WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        return None
    report = _json(row[0])
    if "sites" in report:
        bodies = connection.execute(
            "SELECT body FROM site_reports WHERE run_id = ? ORDER BY position", (run_id,)
        )
        report["sites"] = Packed((body for (body,) in bodies), _packed_json)
    return report


def _packed_json(body: bytes) -> dict[str, object]:
    return _json(unpack_json_text(body))


def read_verdicts(connection: sqlite3.Connection, run_id: str) -> dict[str, str]:
    """Return the verdict of every site that a run's report judged."""
    rows = connection.execute(
        "SELECT site, verdict FROM verdicts WHERE run_id = ? ORDER BY site", (run_id,)
    )
    return dict(rows.fetchall())


def read_verdict_counts(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """Return how many sites each run judged how, by run id."""
    found: dict[str, dict[str, int]] = {}
    rows = connection.execute(
        "SELECT run_id, verdict, count(*) FROM verdicts GROUP BY run_id, verdict ORDER BY run_id"
    )
    for run_id, verdict, number in rows:
        found.setdefault(run_id, {})[verdict] = number
    return found


def read_ingested(connection: sqlite3.Connection) -> tuple[Ingested, ...]:
    """Return everything that was handed in beside the logins, oldest first."""
    rows = connection.execute(
        "SELECT host, site, role, platform, command_id, line, told_key, told_value, by_whom,"
        " on_date, how, recorded_utc, size_bytes, sha256, body FROM ingested ORDER BY id"
    )
    return tuple(_ingested(*row) for row in rows)


def _ingested(*row: Any) -> Ingested:
    *texts, recorded_utc, size_bytes, sha256, packed = row
    named = [
        "host",
        "site",
        "role",
        "platform",
        "command_id",
        "line",
        "told_key",
        "told_value",
        "by",
        "on",
        "how",
    ]
    known = dict(zip(named, texts, strict=True))
    body = Body(size_bytes, sha256, packed)
    text = unpack_text(body, f"what {known['by']} handed in about {known['host']}")
    return Ingested(**known, recorded_utc=recorded_utc, text=text, sha256=sha256)


def read_done(connection: sqlite3.Connection, run_id: str) -> frozenset[str]:
    """Return the hosts that were visited, successfully or not."""
    rows = connection.execute(
        "SELECT host FROM hosts WHERE run_id = ? AND status <> 'skipped'", (run_id,)
    )
    return frozenset(host for (host,) in rows)


def read_last(connection: sqlite3.Connection, host: str, before_utc: str) -> str:
    """Return the newest run, begun at or before a time, that read a host; ``""`` for none."""
    row = connection.execute(
        "SELECT max(runs.id) FROM runs JOIN hosts ON hosts.run_id = runs.id"
        " WHERE hosts.host = ? AND hosts.status = 'ok' AND runs.started_utc <= ?",
        (host, before_utc),
    ).fetchone()
    return str(row[0] or "")


def read_size(connection: sqlite3.Connection, run_ids: Sequence[str]) -> int:
    """Return about how many bytes the answers, captures and reports of runs take in the file."""
    among, names = _among("run_id", run_ids)
    rows = [
        connection.execute(
            f"SELECT total(length(body) + {_ROW_BYTES}) FROM {table} WHERE 1{among}",  # noqa: S608 - constants
            names,
        ).fetchone()
        for table in ("answers", "captures", "site_reports")
    ]
    return int(sum(size for (size,) in rows))


def no_such_run(run_id: str) -> StoreError:
    """Return the error for an unknown run."""
    return StoreError(
        f"no run is called {run_id!r}", todo="List the runs with: mtughost report --list"
    )


def _info(connection: sqlite3.Connection, row: tuple[Any, ...], hosts: tuple[str, ...]) -> RunInfo:
    run_id, kind, started, ended, state, tool, content, inventory, options = row
    counts = connection.execute(
        "SELECT status, count(*) FROM hosts WHERE run_id = ? GROUP BY status", (run_id,)
    )
    asked = connection.execute("SELECT count(*) FROM asked WHERE run_id = ?", (run_id,))
    return RunInfo(
        run_id=run_id,
        meta=RunMeta(
            started_utc=started,
            tool=tool,
            kind=kind,
            hosts=hosts,
            content_digest=content,
            inventory_digest=inventory,
            options=_json(options),
        ),
        state=state,
        ended_utc=ended,
        counts=dict(counts.fetchall()),
        asked=asked.fetchone()[0],
    )


def _hosts(
    connection: sqlite3.Connection,
    run_id: str,
    order: Sequence[str],
    only: Sequence[str] | None,
    *,
    bodies: bool,
) -> tuple[StoredHost, ...]:
    among, names = _among("host", only)
    rows = connection.execute(
        "SELECT host, site, role, status, error, error_kind, extra, answers,"  # noqa: S608 - constants
        f" recorded_utc FROM hosts WHERE run_id = ?{among}",
        (run_id, *names),
    ).fetchall()
    place = {host: index for index, host in enumerate(order)}
    rows.sort(key=lambda row: (place.get(row[0], len(place)), row[0]))
    return tuple(_host(connection, run_id, row, bodies=bodies) for row in rows)


def _host(
    connection: sqlite3.Connection, run_id: str, row: tuple[Any, ...], *, bodies: bool
) -> StoredHost:
    host, site, role, status, error, kind, extra, count, recorded = row
    answers = _answers(connection, run_id, host) if bodies else ()
    if bodies and len(answers) != count:
        raise StoreError(f"run {run_id}, {host}: {len(answers)} of {count} answers are there")
    return StoredHost(
        status=HostStatus(
            host=host, site=site, role=role, status=status, error=error, error_kind=kind
        ),
        answers=answers,
        extra=_json(extra),
        recorded_utc=recorded,
    )


def _answers(connection: sqlite3.Connection, run_id: str, host: str) -> tuple[Answer, ...]:
    rows = connection.execute(
        "SELECT command_id, line, exit_code, status, error, started_utc, duration_s,"
        " size_bytes, sha256, body FROM answers WHERE run_id = ? AND host = ? ORDER BY position",
        (run_id, host),
    )
    return tuple(
        Answer(
            command_id=command_id,
            line=line,
            text=unpack_text(Body(*body), f"run {run_id}, {host}, {command_id}"),
            exit_code=exit_code,
            status=status,
            error=error,
            started_utc=started,
            duration_s=duration_s,
        )
        for command_id, line, exit_code, status, error, started, duration_s, *body in rows
    )


def _captures(
    connection: sqlite3.Connection, run_id: str, only: Sequence[str] | None
) -> tuple[StoredCapture, ...]:
    among, names = _among("host", only)
    rows = connection.execute(
        "SELECT host, point, interface, meta, recorded_utc, size_bytes, sha256, body"  # noqa: S608 - constants
        f" FROM captures WHERE run_id = ?{among} ORDER BY id",
        (run_id, *names),
    )
    return tuple(
        StoredCapture(
            host=host,
            point=point,
            interface=interface,
            body=Body(size, sha256, body),
            meta=_json(meta),
            recorded_utc=recorded,
        )
        for host, point, interface, meta, recorded, size, sha256, body in rows
    )


def _probes(
    connection: sqlite3.Connection, run_id: str, only: Sequence[str] | None
) -> tuple[Mapping[str, object], ...]:
    # What names no host concerns them all.
    among, names = _among("coalesce(json_extract(data, '$.host'), '')", only and ("", *only))
    rows = connection.execute(
        f"SELECT data FROM probes WHERE run_id = ?{among} ORDER BY id",  # noqa: S608 - constants
        (run_id, *names),
    )
    return tuple(_json(data) for (data,) in rows)


def _among(expression: str, names: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    """Return the rest of a condition, and its parameters: any number of names is one."""
    if names is None:
        return "", ()
    condition = f" AND {expression} IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
    return condition, (json.dumps(list(names)),)


def _json(text: str) -> dict[str, object]:
    value: dict[str, object] = json.loads(text)
    return value
