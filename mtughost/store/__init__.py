"""Run store on SQLite. The names below are what other rooms use."""

from mtughost.store.runs import RunStore
from mtughost.store.values import (
    Ingested,
    RunInfo,
    RunMeta,
    StoredCapture,
    StoredHost,
    StoredPart,
    StoredRun,
    make_run_id,
)

__all__ = [
    "Ingested",
    "RunInfo",
    "RunMeta",
    "RunStore",
    "StoredCapture",
    "StoredHost",
    "StoredPart",
    "StoredRun",
    "make_run_id",
]
