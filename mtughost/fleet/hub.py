"""A Dask scheduler as we use it: who works there, call a function of ours there. TLS only."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtughost.model.errors import SchedulerError, UsageError

try:
    import dask
    from distributed import Client, Security
except ImportError as error:
    raise UsageError("--scheduler needs Dask", todo="pip install 'mtughost[dask]'") from error

CONNECT_S = 15.0
#: How long a scheduler may take to answer a question.
ANSWER_S = 5.0
#: A connection on which nothing is acknowledged for so long is given up, and its worker with it.
SILENT_S = 20.0
#: A worker's resource of this name, with anything behind it, is a region that it takes.
REGION_RESOURCE = "region-"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What proves us to the cluster and the cluster to us, as PEM files.

    Attributes:
        ca: The authority that signed everybody's certificate, and nobody else's: whoever holds one
            can run code on the workers.
        cert: Ours.
        key: Its private key.
    """

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker of the cluster.

    Attributes:
        address: Where its scheduler reaches it.
        name: What its operator called it.
        regions: Those whose devices it takes; none: the devices without a region.
    """

    address: str
    name: str
    regions: frozenset[str]

    def takes(self, region: str) -> bool:
        """Say whether it may visit a region's devices."""
        return region in self.regions if region else not self.regions


class Hub:
    """A connection to a scheduler. Thread-safe; close it.

    Raises:
        UsageError: the address is not one with TLS.
        SchedulerError: nobody answers there, or the certificates do not fit.
    """

    def __init__(self, address: str, tls: TlsFiles) -> None:
        if not address.startswith("tls://"):
            raise UsageError(
                f"{address} is no scheduler with TLS",
                todo="Give --scheduler tls://HOST:PORT; without TLS anybody could send commands",
            )
        self.address = address
        _silence()
        timeouts = {"connect": f"{CONNECT_S}s", "tcp": f"{SILENT_S}s"}
        dask.config.set({"distributed.comm.timeouts": timeouts})
        try:
            _shake_hands(address, tls)
            security = Security(
                require_encryption=True,
                tls_ca_file=str(tls.ca),
                tls_client_cert=str(tls.cert),
                tls_client_key=str(tls.key),
            )
            self._client = Client(
                address, security=security, timeout=CONNECT_S, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise SchedulerError(
                f"the scheduler {address} cannot be used: {_why(error)}",
                todo="Is it running, and did one authority sign its certificate and yours? "
                "Nothing was sent to any device",
            ) from None

    def workers(self) -> list[WorkerInfo]:
        """Ask the scheduler who works for it now.

        Raises:
            SchedulerError: it does not answer.
        """
        try:
            identity = self._client.sync(
                self._client.scheduler.identity, n_workers=-1, callback_timeout=ANSWER_S
            )
        except Exception:  # noqa: BLE001 - whatever a client says that lost its scheduler
            raise SchedulerError(
                f"the scheduler {self.address} is gone",
                todo="What had finished is kept; mtughost audit --run ID goes on with the rest",
            ) from None
        return [_info(address, about) for address, about in identity["workers"].items()]

    def call(self, worker: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function of ours on a worker and return what it returned, or raise what it raised.

        Raises:
            OSError: the worker is gone.
        """
        return self._client.run(function, *arguments, workers=[worker])[worker]

    def close(self) -> None:
        """Leave the cluster as it is."""
        self._client.close(timeout=1)


def _silence() -> None:
    """Let Dask log nothing: what a person should know is said in our own words."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _shake_hands(address: str, tls: TlsFiles) -> None:
    """Connect once by ourselves: Dask tries again and again, and tells less of what is wrong.

    Raises:
        OSError: nobody listens there, or one of the certificates is not accepted.
    """
    host, _, port = address.removeprefix("tls://").rpartition(":")
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(tls.ca))
    context.check_hostname = False  # as in Dask: the authority vouches, whatever the name
    context.load_cert_chain(tls.cert, tls.key)
    with (
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as raw,
        context.wrap_socket(raw) as line,
    ):
        if not line.recv(1):  # with TLS 1.3, this is where our certificate is refused
            raise ConnectionError("it closed the connection")


def _info(address: str, about: dict[str, Any]) -> WorkerInfo:
    regions = frozenset(
        name.removeprefix(REGION_RESOURCE)
        for name in about.get("resources", {})
        if name.startswith(REGION_RESOURCE)
    )
    return WorkerInfo(address, str(about.get("name", address)), regions)


def _why(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
