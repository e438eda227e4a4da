"""mtughost finds, proves and fixes MTU and MSS black holes across a fleet of sites.

For other programs: :func:`audit`, :func:`diagnose_site`, :func:`diagnose_capture` and
:func:`stored_run` (:mod:`mtughost.app.api`). They are loaded when first asked for, so that
``import mtughost`` and ``mtughost --help`` stay fast; ``__init__.pyi`` tells type checkers what
they are.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("mtughost")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0+checkout"

_API = ("audit", "diagnose_capture", "diagnose_site", "stored_run")


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module("mtughost.app.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
