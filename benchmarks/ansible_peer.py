"""Ansible's network_cli as a peer of the benchmark, in the peers' own environment.

``python benchmarks/ansible_peer.py TARGETS WORKERS OUT``: one play, one ``cisco.ios.ios_command``
with all commands, over paramiko. Nothing is parsed, which is in Ansible's favour. Its connections
are kept by processes that leave their parents: they are adopted, ended and counted here.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from answers import digest_of

#: prctl(2): orphans below this process become its children.
PR_SET_CHILD_SUBREAPER = 36
CALLBACK = """
import json, os
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "stdout", "answers"

    def v2_runner_on_ok(self, result):
        name = result._host.get_name()
        with open(os.path.join(os.environ["ANSWERS"], name), "w", encoding="utf-8") as out:
            json.dump(result._result["stdout"], out)
"""


def play(targets: Any, workers: int, place: Path) -> None:
    """Run the play in a directory of its own."""
    hosts = {
        host["name"]: {"ansible_host": host["address"], "ansible_port": host["port"]}
        for host in targets["hosts"]
    }
    settings = {
        "ansible_connection": "ansible.netcommon.network_cli",
        "ansible_network_os": "cisco.ios.ios",
        "ansible_network_cli_ssh_type": "paramiko",
        "ansible_user": targets["username"],
        "ansible_ssh_private_key_file": targets["key_file"],
        "ansible_python_interpreter": sys.executable,
    }
    lines = [command["line"] for command in targets["commands"]]
    book = [
        {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [{"cisco.ios.ios_command": {"commands": lines}}],
        }
    ]
    (place / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": settings}}))
    (place / "play.json").write_text(json.dumps(book))
    (place / "callbacks").mkdir()
    (place / "callbacks" / "answers.py").write_text(CALLBACK)
    (place / "answers").mkdir()
    env = os.environ | {
        "HOME": str(place),
        "ANSWERS": str(place / "answers"),
        "ANSIBLE_HOME": str(place / "home"),
        "ANSIBLE_LOCAL_TEMP": str(place / "tmp"),
        "ANSIBLE_PERSISTENT_CONTROL_PATH_DIR": str(place / "pc"),
        "ANSIBLE_HOST_KEY_CHECKING": "false",
        "ANSIBLE_CALLBACK_PLUGINS": str(place / "callbacks"),
        "ANSIBLE_STDOUT_CALLBACK": "answers",
        "LC_ALL": "C.UTF-8",
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    argv = [program, "-i", "inventory.json", "-f", str(workers), "play.json"]
    subprocess.run(argv, cwd=place, env=env, check=False, stdout=sys.stderr)


def end_children() -> None:
    """End what the play left running, and wait for it, so that it is counted."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    for word in listed.read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(word), signal.SIGTERM)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def main(argv: list[str]) -> None:
    """Run the play, write the digest of every answer."""
    targets_file, workers, out = argv
    targets = json.loads(Path(targets_file).read_text("utf-8"))
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    said = {}
    with tempfile.TemporaryDirectory(prefix="ans") as place:  # short: sockets are made in it
        play(targets, int(workers), Path(place))
        end_children()
        for file in Path(place, "answers").iterdir():
            texts = json.loads(file.read_text("utf-8"))
            said[file.name] = {
                command["id"]: digest_of(text)
                for command, text in zip(targets["commands"], texts, strict=True)
            }
    Path(out).write_text(json.dumps(said), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
