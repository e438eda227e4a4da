"""A server that accepts, acknowledges everything and never says a word: an overloaded service.

``python -I mute_server.py ADDRESS PORT``. The kernel acknowledges; this program only reads.
"""

from __future__ import annotations

import socket
import sys
import threading


def swallow(connection: socket.socket) -> None:
    """Read until the client gives up."""
    with connection:
        try:
            while connection.recv(65536):
                pass
        except OSError:
            return


if __name__ == "__main__":
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64)
    print("silent", flush=True)  # noqa: T201 - its readiness
    while True:
        threading.Thread(target=swallow, args=(listener.accept()[0],), daemon=True).start()
