"""What people are told and what journals hold, word by word, kept in ``told/``.

The texts are the tool's own, and no proof that it is right: where a device stands is held by the
other tests here. They keep every refusal's advice and every record from changing unread.
``MTUGHOST_WRITE_REPORTS=1`` with ``-n 0`` writes them anew; read the difference before you keep it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

KEPT = Path(__file__).parent / "told"
#: What differs in every run: digests, keys, tokens, random names.
_RANDOM = (
    (r"/\S+/(?=allowed_signers)", ""),
    (r"sha256:[0-9a-f]{10,64}", "sha256:.."),
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:.."),
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r"line 1 column \d+ .*?\)", "line 1 column .."),
    (r"\b[0-9a-f]{32}\b", "NONCE"),
    (r"\b[0-9a-f]{16}\b", "TOKEN"),
)


_TIMES = ((r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"), (r"(?m)^\d\d:\d\d:\d\d ", ""))
#: What ssh-keygen says is its own.
_RANDOM = (*_RANDOM, (r"is not good: .*\. Find", "is not good: ... Find"))


def kept(file):
    """Return the sections of a file: a name, then its lines, indented."""
    path, found = KEPT / f"{file}.txt", {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if line and not line.startswith(" "):
            name = line
            found[name] = []
        elif line:
            found[name].append(line[2:])
    return found


def as_kept(file, name, text, *, hide=(), times=True):
    """Hold a text against the section that was kept, or keep it where that was asked for.

    Without ``times`` the clock was the machine's.
    """
    for part in hide:
        text = text.replace(str(part), "..")
    for pattern, word in _RANDOM if times else (*_RANDOM, *_TIMES):
        text = re.sub(pattern, word, text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if os.environ.get("MTUGHOST_WRITE_REPORTS"):
        sections = kept(file) | {name: lines}
        told = [f"{key}\n" + "".join(f"  {x}\n" for x in sections[key]) for key in sorted(sections)]
        KEPT.mkdir(exist_ok=True)
        (KEPT / f"{file}.txt").write_text("\n".join(told), encoding="utf-8")
    assert "\n".join(lines) == "\n".join(kept(file).get(name, ["nothing was kept of this"]))


def journal_text(path, *, last=None):
    """Return the records of a journal file, from its bytes and without the tool's reader."""
    records = [json.loads(line[9:]) for line in Path(path).read_bytes().splitlines()]
    lines = []
    for one in records[-last:] if last else records:
        data = dict(one["data"])
        text = data.pop("text", "")
        more = [f"{key}={_short(value)}" for key, value in sorted(data.items())]
        head = f"{one['t_wall_utc'][11:19]} {one['dev'] or '-'} {one['ev']}"
        first, *rest = [*str(text).splitlines(), ""][: max(1, len(str(text).splitlines()))]
        lines += [": ".join(part for part in (head, first) if part)]
        lines += [f"  | {line}" for line in rest]
        lines += [f"  {' '.join(more)}"] if more else []
    return "\n".join(lines) + "\n"


def result_text(result):
    """Return how a device ended, with every word of it."""
    touched = "touched" if result.touched else "not touched"
    lines = [f"{result.device} {result.outcome}, {touched}: {result.reason}"]
    return "\n".join(
        [*lines, *(f"  {line}" for part in result.detail for line in part.split("\n"))]
    )


def _short(value):
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
