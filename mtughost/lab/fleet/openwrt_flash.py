"""The part of a virtual OpenWrt that lines of a change write to, as files that a real shell sees.

A script that changes something is run by this machine's ``sh`` with every path of the router moved
into a directory of the router's own, so that ``mkdir``, ``mv``, ``cp`` and a detached ``sleep`` are
the real ones. Only ``uci``, ``rc.common`` and the service are stand-ins: the file
``/etc/config/firewall`` is kept in the words of ``uci show``, and a reload copies it to what is
loaded.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

UCI = """\
#!/bin/sh
[ "$1" != -q ] || shift
d=/run/delta
case $1 in
show) cat /etc/config/* ;;
changes) cat $d 2>/dev/null; true ;;
set) echo "$2" >> $d ;;
delete) grep -qF "$2=" /etc/config/* || exit 1; echo "-$2" >> $d ;;
commit)
    f=/etc/config/$2
    while read -r line; do
        key=${line#-}; key=${key%%=*}
        grep -vF "$key=" $f > /run/new
        case $line in -*) ;; *) echo "$key='${line#*=}'" >> /run/new ;; esac
        cat /run/new > $f
    done < $d
    rm -f $d ;;
esac
"""
RC_COMMON = """\
script=$1; . "$1"
case $2 in
enable) ln -sf "$1" "/etc/rc.d/S$START$(basename "$1")" ;;
disable) rm -f /etc/rc.d/S??"$(basename "$1")" ;;
boot) start ;;
esac
"""
SERVICE = "#!/bin/sh\ncp /etc/config/firewall /run/loaded\n"
#: What a script is known by that needs files.
_WRITES = re.compile(r"/etc/mtughost|uci (?:-q )?(?:set|delete|commit|revert)|/etc/init\.d/")
_PATHS = re.compile(r"(?<![\w.])/(?=(?:etc|run|tmp/\.uci|proc/sys)/)")
_ENTRY = re.compile(r"([^=]+)='(.*)'")
_BOOT_ID = Path("proc/sys/kernel/random/boot_id")


def writes(script: str) -> bool:
    """Say whether a script may change what is on flash."""
    return _WRITES.search(script) is not None


class Flash:
    """The files of one router."""

    def __init__(self, home: Path) -> None:
        self._home = home
        shutil.rmtree(home, ignore_errors=True)
        for name in ("etc/config", "etc/init.d", "etc/rc.d", "run", "tmp/.uci", "bin"):
            (home / name).mkdir(parents=True)
        for path, text in (
            ("etc/rc.common", RC_COMMON),
            ("etc/init.d/firewall", SERVICE),
            ("bin/uci", UCI),
        ):
            (home / path).write_text(self.moved(text))
            (home / path).chmod(0o755)
        (home / _BOOT_ID).parent.mkdir(parents=True)

    def moved(self, script: str) -> str:
        """Return a script with the router's own paths."""
        return _PATHS.sub(f"{self._home}/", script)

    @property
    def environment(self) -> dict[str, str]:
        """What a script is run with."""
        path = f"{self._home / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "LC_ALL": "C"}

    def write(self, saved: Mapping[str, str], loaded: Mapping[str, str], boot_id: str) -> None:
        """Put a configuration there."""
        self._config.write_text(_text(saved))
        self._loaded.write_text(_text(loaded))
        (self._home / _BOOT_ID).write_text(f"{boot_id}\n")

    def saved(self) -> dict[str, str]:
        """Return what a reload and a boot load."""
        return _read(self._config)

    def loaded(self) -> dict[str, str]:
        """Return what runs."""
        return _read(self._loaded)

    @property
    def is_armed(self) -> bool:
        """Whether something may still change it by itself."""
        kept = self._home / "etc" / "mtughost"
        return any((*kept.glob("*/armed"), *kept.glob("*/reverting")))

    def boot(self, boot_id: str) -> None:
        """What sleeps dies with the kernel; hooks run, then the firewall is loaded."""
        for path in (self._home / "etc" / "mtughost").glob("*/pid"):
            with contextlib.suppress(OSError, ValueError):
                os.killpg(int(path.read_text()), signal.SIGKILL)
        (self._home / _BOOT_ID).write_text(f"{boot_id}\n")
        shutil.rmtree(self._home / "tmp" / ".uci")
        (self._home / "tmp" / ".uci").mkdir()
        hooks = sorted((self._home / "etc" / "rc.d").glob("S*"))
        for argv in (*([str(hook), "boot"] for hook in hooks), [str(self._service), "start"]):
            subprocess.run(argv, env=self.environment, check=False)

    @property
    def _config(self) -> Path:
        return self._home / "etc" / "config" / "firewall"

    @property
    def _loaded(self) -> Path:
        return self._home / "run" / "loaded"

    @property
    def _service(self) -> Path:
        return self._home / "etc" / "init.d" / "firewall"


def _text(config: Mapping[str, str]) -> str:
    return "".join(f"{key}='{value}'\n" for key, value in config.items())


def _read(path: Path) -> dict[str, str]:
    found = (_ENTRY.fullmatch(line) for line in path.read_text().splitlines())
    return {match[1]: match[2] for match in found if match is not None}
