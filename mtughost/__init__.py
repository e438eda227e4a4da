"""mtughost finds, proves and fixes MTU and MSS black holes across a fleet of sites.

For other programs: :func:`audit`, :func:`diagnose_site`, :func:`diagnose_capture` and
:func:`stored_run` (:mod:`mtughost.app.api`). They are loaded when first asked for, so that
``import mtughost`` and ``mtughost --help`` stay fast; ``__init__.pyi`` tells type checkers what
they are.
"""

from importlib import import_module
from typing import Any

_API = ("audit", "diagnose_capture", "diagnose_site", "stored_run")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _API:
        return getattr(import_module("mtughost.app.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "__version__", *_API])


def _version() -> str:
    # Looked up when it is asked for: importlib.metadata takes a third of the time of --help.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("mtughost")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0.0.0+checkout"
