"""Signatures by ``ssh-keygen -Y``, with the traps of its ``allowed_signers`` file closed.

Measured with OpenSSH 9.2 (reliability fact sheet, section 5): a ``*`` principal accepts any name,
a line without ``namespaces=`` accepts any kind of document, and one key under two names is good
for both. Such files are refused before any signature is looked at.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mtughost.model.documents import digest_bytes
from mtughost.model.errors import PlanRefusedError, UsageError

#: Limit for one call of ``ssh-keygen``; it answers in milliseconds.
KEYGEN_TIMEOUT_S: Final = 10.0
_MAX_SIGNERS_BYTES: Final = 4 * 1024 * 1024
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_OPTION = re.compile(r'([a-z-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|$)')
_KEY_TYPE = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+")
_GOOD = re.compile(
    r'Good "(?P<namespace>[^"]+)" signature for (?P<principal>\S+) with \S+ key '
    r"(?P<fp>SHA256:[A-Za-z0-9+/]{43})\s*"
)
_FINGERPRINT = re.compile(r"\d+ (SHA256:[A-Za-z0-9+/]{43}) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One line of ``allowed_signers``."""

    principal: str
    namespaces: tuple[str, ...]
    valid_before: str
    key_type: str
    key: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """A checked ``allowed_signers`` file and, where there is one, the revocation list.

    Attributes:
        data: The very bytes that were checked; ``ssh-keygen`` is given these, not the file again.
        digest: Of ``data`` and the revocation list; goes into the journal.
    """

    path: str
    data: bytes
    entries: tuple[Signer, ...]
    revoked: bytes
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodSignature:
    """A signature that verified."""

    principal: str
    key_fp: str


def _words(line: str) -> list[str]:
    """Split at blanks outside double quotes."""
    return re.findall(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+', line)


def _parse_options(text: str, where: str) -> dict[str, str]:
    options: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = _OPTION.match(text, position)
        if not found or found[1] in options:
            raise PlanRefusedError(f"{where}: the options {text!r} cannot be read")
        options[found[1]] = found[2] or ""
        position = found.end()
    return options


def _parse_line(text: str, number: int, path: str) -> Signer:
    where = f"{path}:{number}"
    words = _words(text)
    if len(words) < 3:  # noqa: PLR2004 - principal, key type and key at the least
        raise PlanRefusedError(f"{where}: not a line of allowed_signers")
    principal = words[0]
    if not _PRINCIPAL.fullmatch(principal):
        raise PlanRefusedError(
            f"{where}: the principal {principal!r} is a pattern, a list or not a plain name",
            todo="Write one plain name per line: a pattern accepts people you did not mean",
        )
    if _KEY_TYPE.fullmatch(words[1]):
        options_text, rest = "", words[1:]
    else:
        options_text, rest = words[1], words[2:]
    options = _parse_options(options_text, where)
    if "cert-authority" in options:
        raise PlanRefusedError(f"{where}: certificate authorities are not accepted here")
    namespaces = tuple(name for name in options.get("namespaces", "").split(",") if name)
    if not namespaces or any("*" in name or "?" in name or "!" in name for name in namespaces):
        raise PlanRefusedError(
            f"{where}: {principal} needs namespaces= with plain names",
            todo='Add namespaces="mtughost-plan-v1,mtughost-approval-v1"',
        )
    if not options.get("valid-before"):
        raise PlanRefusedError(
            f"{where}: {principal} needs valid-before=",
            todo='Add for example valid-before="20271231"',
        )
    if len(rest) < 2 or not _KEY_TYPE.fullmatch(rest[0]):  # noqa: PLR2004 - key type and key
        raise PlanRefusedError(f"{where}: no key on the line of {principal}")
    return Signer(
        principal=principal,
        namespaces=namespaces,
        valid_before=options["valid-before"],
        key_type=rest[0],
        key=rest[1],
        line=number,
    )


def parse_signers(data: bytes, *, path: str, revoked: bytes = b"") -> Signers:
    """Check the text of ``allowed_signers``.

    Raises:
        PlanRefusedError: empty, a pattern as principal, a missing limit, or one key for two names.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise PlanRefusedError(f"{path}: not UTF-8 text") from None
    entries = [
        _parse_line(line, number, path)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not entries:
        raise PlanRefusedError(
            f"{path}: nobody may sign", todo="Add the authors and approvers, one key per line"
        )
    owners: dict[str, Signer] = {}
    for entry in entries:
        first = owners.setdefault(entry.key, entry)
        if first.principal != entry.principal:
            raise PlanRefusedError(
                f"{path}:{entry.line}: the key of {first.principal} (line {first.line}) stands "
                f"here for {entry.principal} too",
                todo="One key belongs to one person: otherwise one person approves for two",
            )
    digest = digest_bytes(len(data).to_bytes(8, "big") + data + revoked)
    return Signers(path=path, data=data, entries=tuple(entries), revoked=revoked, digest=digest)


def _read_private(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PlanRefusedError(f"{path}: cannot be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as stream:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode) or info.st_mode & 0o022:
            raise PlanRefusedError(
                f"{path}: others could write this file",
                todo=f"Check who changed it, then: chmod go-w {path}",
            )
        data = stream.read(_MAX_SIGNERS_BYTES + 1)
    if len(data) > _MAX_SIGNERS_BYTES:
        raise PlanRefusedError(f"{path}: larger than {_MAX_SIGNERS_BYTES} bytes")
    return data


def load_signers(
    path: Path, *, revocation: Path | None = None, plan: Path | None = None
) -> Signers:
    """Read and check ``allowed_signers``.

    Args:
        path: The file.
        revocation: A KRL or a list of public keys; when named it must exist.
        plan: The plan's file: the signers must not lie beside it, where whoever hands over the
            plan could hand over its judges too.

    Raises:
        PlanRefusedError: missing, writable by others, beside the plan, or badly formed.
    """
    if plan is not None and path.resolve().parent == plan.resolve().parent:
        raise PlanRefusedError(
            f"{path}: allowed_signers must not lie in the plan's directory",
            todo="Keep it in the project directory and the plan elsewhere",
        )
    revoked = b"" if revocation is None else _read_private(revocation)
    return parse_signers(_read_private(path), path=str(path), revoked=revoked)


def _keygen(
    arguments: Sequence[str], *, stdin: bytes = b"", timeout_s: float = KEYGEN_TIMEOUT_S
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise PlanRefusedError(
            "ssh-keygen is not installed", todo="Install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise PlanRefusedError(
            f"ssh-keygen did not answer within {timeout_s:.0f} s",
            todo="If the key has a passphrase, load it into ssh-agent and give its .pub file",
        ) from None


def key_fingerprint(key: Path) -> str:
    """Return ``SHA256:...`` of a private or public key file.

    Raises:
        UsageError: the file is not a key.
    """
    done = _keygen(["-l", "-E", "sha256", "-f", str(key)])
    found = _FINGERPRINT.match(done.stdout.decode("utf-8", "replace"))
    if done.returncode != 0 or not found:
        raise UsageError(f"{key}: not an SSH key that ssh-keygen can read")
    return found[1]


def principal_of(signers: Signers, key_fp: str) -> str:
    """Return whose key this is.

    Raises:
        PlanRefusedError: the key is not among the signers.
    """
    for entry in signers.entries:
        with tempfile.NamedTemporaryFile("w", suffix=".pub") as public:
            public.write(f"{entry.key_type} {entry.key}\n")
            public.flush()
            if key_fingerprint(Path(public.name)) == key_fp:
                return entry.principal
    raise PlanRefusedError(
        f"{signers.path}: the key {key_fp} is nobody's", todo="Add its owner to allowed_signers"
    )


def sign(data: bytes, *, key: Path, namespace: str, timeout_s: float = KEYGEN_TIMEOUT_S) -> bytes:
    """Sign bytes with a private key, or with a public key whose private half ssh-agent holds.

    Raises:
        UsageError: the key cannot sign.
        PlanRefusedError: ``ssh-keygen`` is missing or hangs.
    """
    done = _keygen(
        ["-Y", "sign", "-q", "-f", str(key), "-n", namespace], stdin=data, timeout_s=timeout_s
    )
    if done.returncode != 0 or b"BEGIN SSH SIGNATURE" not in done.stdout:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"{key}: cannot sign: {words[-1] if words else 'ssh-keygen failed'}")
    return done.stdout


def verify(
    data: bytes, signature: bytes, *, signers: Signers, principal: str, namespace: str
) -> GoodSignature:
    """Check one signature over ``data`` by ``principal`` in ``namespace``, now.

    Raises:
        PlanRefusedError: anything but a good signature; says what ``ssh-keygen`` said.
    """
    if not _PRINCIPAL.fullmatch(principal):
        raise PlanRefusedError(f"{principal!r} is not a plain name")
    with tempfile.TemporaryDirectory(prefix="mtughost-verify-") as directory:
        base = Path(directory)
        (base / "allowed").write_bytes(signers.data)
        (base / "revoked").write_bytes(signers.revoked)
        (base / "signature").write_bytes(signature)
        arguments = ["-Y", "verify", "-n", namespace, "-I", principal]
        arguments += ["-f", str(base / "allowed"), "-s", str(base / "signature")]
        arguments += ["-r", str(base / "revoked")]
        done = _keygen(arguments, stdin=data)
    said = done.stdout.decode("utf-8", "replace")
    good = _GOOD.fullmatch(said)
    if (
        done.returncode != 0
        or not good
        or good["namespace"] != namespace
        or good["principal"] != principal
    ):
        words = (said + done.stderr.decode("utf-8", "replace")).replace(directory + "/", "")
        detail = "; ".join(line.strip() for line in words.splitlines() if line.strip())
        raise PlanRefusedError(
            f"the signature of {principal} is not good: {detail or 'no reason'}",
            todo="Find out who changed the file or the keys; then let it be signed again",
        )
    return GoodSignature(principal=principal, key_fp=good["fp"])
