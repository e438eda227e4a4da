"""Says what to install where the package that serves the fleet is missing; imported first."""

from __future__ import annotations

import importlib.util

from mtughost.model.errors import LabError

if importlib.util.find_spec("asyncssh") is None:  # pragma: no cover - always there in development
    raise LabError(
        "the virtual fleet needs the package asyncssh",
        todo="Install mtughost with the extra 'lab'",
    )
