"""Where plans, approvals and journals lie, and how they are written and read."""

from __future__ import annotations

import errno
import os
import re
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from mtughost.app.project import Project
from mtughost.change.approval import SignedApproval
from mtughost.change.journal import Writer, boot_id
from mtughost.change.signers import Signers, load_signers
from mtughost.model.errors import PlanRefusedError, StoreError, UsageError

_APPROVAL = ".approval.json"
_SIGNATURE = ".sig"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPapers:
    """A plan as it lies on the disk, with everything signed about it."""

    path: Path
    data: bytes
    signature: bytes
    approvals: tuple[SignedApproval, ...]


def journal_path(project: Project) -> Path:
    """Return the one journal of this state directory."""
    return project.state_dir / "change" / "journal.mtj"


def backups_path(project: Project) -> Path:
    """Return where configurations are kept before they are changed."""
    return project.state_dir / "backups"


def lineage_of(project: Project) -> str:
    """Return the identity of this state directory; made once."""
    path = project.state_dir / "lineage"
    if not path.exists():
        write_new(path, f"{uuid.uuid4()}\n".encode())
    return path.read_text(encoding="ascii").strip()


def signers_of(project: Project, plan: Path | None = None) -> Signers:
    """Read ``allowed_signers`` and the revocation list beside it, if there is one.

    Raises:
        PlanRefusedError: missing, badly formed, writable by others, or beside the plan.
    """
    revoked = project.allowed_signers.with_name("revoked_keys")
    # One that is there and cannot be read refuses, also a link to nothing.
    named = revoked if os.path.lexists(revoked) else None
    return load_signers(project.allowed_signers, revocation=named, plan=plan)


def writer_of(actor: str) -> Writer:
    """Return who writes the journal here and now."""
    return Writer(actor=actor, host=socket.gethostname(), boot_id=boot_id())


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, for its owner only, durably.

    Raises:
        UsageError: it exists.
        StoreError: the disk refuses.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise UsageError(f"{path} exists already", todo="Name another file") from None
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def save_plan(path: Path, data: bytes, signature: bytes) -> None:
    """Write a plan and its author's signature, never over an older one."""
    write_new(path, data)
    write_new(path.with_name(path.name + _SIGNATURE), signature)


def save_approval(plan: Path, approval: SignedApproval) -> Path:
    """Write an approval beside its plan; a second word of the same person gets a number."""
    stem = _UNSAFE.sub("_", approval.name)
    for number in range(1, 1000):
        suffix = stem if number == 1 else f"{stem}.{number}"
        path = plan.with_name(f"{plan.name}.{suffix}{_APPROVAL}")
        if not path.exists():
            write_new(path, approval.data)
            write_new(path.with_name(path.name + _SIGNATURE), approval.signature)
            return path
    raise UsageError(f"{plan.parent} holds a thousand approvals of {stem} already")


def load_papers(path: Path) -> PlanPapers:
    """Read a plan, its signature and every approval or rejection beside it.

    Raises:
        UsageError: the plan cannot be read.
        PlanRefusedError: a signature is missing, or a file is a symbolic link.
    """
    return PlanPapers(
        path=path,
        data=_read(path),
        signature=_signature_of(path),
        approvals=tuple(
            SignedApproval(name=item.name, data=_read(item), signature=_signature_of(item))
            for item in sorted(path.parent.glob(f"{path.name}.*{_APPROVAL}"))
        ),
    )


def _read(path: Path) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PlanRefusedError(
                f"{path} is a symbolic link", todo="Name the file itself"
            ) from None
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _signature_of(path: Path) -> bytes:
    signature = path.with_name(path.name + _SIGNATURE)
    if not os.path.lexists(signature):
        raise PlanRefusedError(
            f"{path} is not signed: {signature.name} is missing",
            todo="Bring the signature along with the file",
        )
    return _read(signature)
