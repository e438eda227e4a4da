"""A session whose device is this very machine: real sockets and real processes, no SSH.

It stands in for ``wire`` at the edge only; what it answers is what programs and kernels here say.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time

from mtughost.model.session import Answer, ForwardingRefusedError, TcpRefusedError


class LocalStream:
    def __init__(self, connection):
        self._connection = connection

    def sendall(self, data):
        self._connection.sendall(data)

    def recv(self, max_bytes, timeout_s):
        self._connection.settimeout(timeout_s)
        return self._connection.recv(max_bytes)

    def close(self):
        self._connection.close()


class LocalSession:
    """Implements ``mtughost.model.session.Session`` with local means.

    Attributes:
        asked: Every line that was sent.
        opened: How many TCP connections were asked for.
    """

    host = "local"
    small_mss_login = False

    def __init__(self, *, forwarding=True, prefix=(), path="/usr/sbin:/usr/bin:/sbin:/bin"):
        self.asked = []
        self.opened = 0
        self._forwarding = forwarding
        self._prefix = list(prefix)
        self._environment = {"PATH": path, "LC_ALL": "C"}

    def ask(self, commands):
        return tuple(self._answer(command) for command in commands)

    def _answer(self, command):
        self.asked.append(command.line)
        begun = time.monotonic()
        done = subprocess.run(
            [*self._prefix, "/bin/sh", "-c", command.line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=command.timeout_s,
            check=False,
            env=self._environment,
        )
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=done.stdout.decode("utf-8", "replace"),
            stderr=done.stderr.decode("utf-8", "replace"),
            exit_code=done.returncode,
            duration_s=time.monotonic() - begun,
        )

    def stream(self, command, *, seconds, stdin_close_ends=True):
        self.asked.append(command.line)
        argv = [*self._prefix, "/bin/sh", "-c", f"exec {command.line}"]
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        ) as process:
            try:
                return process.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
                return process.communicate(timeout=5)[0]

    def open_tcp(self, host, port, *, timeout_s):
        self.opened += 1
        if not self._forwarding:
            raise ForwardingRefusedError("administratively prohibited")
        try:
            return LocalStream(socket.create_connection((host, port), timeout=timeout_s))
        except OSError as error:
            raise TcpRefusedError(f"{host} port {port}: {error}") from error

    def close(self):
        """Nothing stays open."""
