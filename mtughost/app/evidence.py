"""A bundle for one site and one recipient: made from a stored run, verified, diagnosed again."""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mtughost import __version__
from mtughost.app.before_after import Earlier, earlier_look
from mtughost.app.bundle_maker import BundleMaker, evidence_of_record, ids_of
from mtughost.app.inventory import open_inventory
from mtughost.app.papers import write_new
from mtughost.app.project import Project
from mtughost.app.reports import AuditResult
from mtughost.app.stored import StoredSite, load_site
from mtughost.change.signers import key_fingerprint, load_signers, principal_of, sign, verify
from mtughost.content.root import ContentRoot
from mtughost.diagnose.site import diagnose_site
from mtughost.evidence.archive import Archive, Content, write_archive
from mtughost.evidence.bundle import record_of
from mtughost.evidence.manifest import (
    MANIFEST_NAMESPACE,
    Manifest,
    manifest_bytes,
)
from mtughost.evidence.profiles import recipient_named
from mtughost.evidence.pseudonyms import KEY_BYTES
from mtughost.model.errors import (
    EvidenceError,
    PlanRefusedError,
    StoreError,
    UsageError,
)
from mtughost.model.findings import AuditReport
from mtughost.model.session import Clock
from mtughost.store import RunStore, StoredRun
from mtughost.wire.clock import SystemClock

_TOOL = f"mtughost {__version__}"
#: Lines shown before and after the one that proves something.
_AROUND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRequest:
    """What to hand over.

    Attributes:
        site: Site name.
        recipient: Name of a profile.
        run_id: A stored run; the newest that read a device of the site when empty.
        out: Where the zip goes; in the project's state directory when ``None``.
        key: Signs the manifest, ``None`` leaves it unsigned.
        looked_at: Digests of suspicious values that a person found harmless.
        pdf: Make the page as PDF, too.
    """

    site: str
    recipient: str
    run_id: str = ""
    out: Path | None = None
    key: Path | None = None
    looked_at: frozenset[str] = frozenset()
    pdf: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBundle:
    """A bundle on the disk.

    Attributes:
        page: The report as one HTML file beside the zip.
        paper: The same as PDF, where it was asked for.
    """

    path: Path
    page: Path
    paper: Path | None
    manifest: Manifest
    signed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """What verification found; reaching this means that every member matches its digest.

    Attributes:
        signed_by: Principal, ``""`` for an unsigned bundle.
        same_verdict: Whether the members give the verdict that the manifest states, diagnosed
            again now; ``None`` where the bundle holds no raw evidence.
    """

    manifest: Manifest
    signed_by: str
    same_verdict: bool | None


def make_bundle(
    project: Project, request: EvidenceRequest, *, clock: Clock | None = None
) -> MadeBundle:
    """Make a bundle from what a run stored.

    Raises:
        UsageError: no such site or recipient.
        StoreError: no finished run holds the site.
        SuspiciousValuesError: something may be a secret.
        EvidenceError: a known secret would have been left, or a capture cannot be redacted.
    """
    recipient = recipient_named(request.recipient)
    run, stored, earlier = _stored(project, request)
    now_utc = (clock or SystemClock()).utc_now()
    key = _redaction_key(project)
    maker = BundleMaker(
        project, recipient, run, stored, now_utc, key, request.looked_at, request.pdf, earlier
    )
    members, manifest = maker.make()
    data = manifest_bytes(manifest)
    signature, principal = _signed(project, data, request.key)
    out = request.out or (
        project.state_dir / "bundles" / f"{_stamp(now_utc)}-{recipient.name}-{manifest.site}.zip"
    )
    write_new(out, write_archive(data, signature, members.contents))
    page = out.with_suffix(".html")
    write_new(page, _small(members.contents["report.html"]))
    paper = out.with_suffix(".pdf") if request.pdf else None
    if paper is not None:
        write_new(paper, _small(members.contents["report.pdf"]))
    return MadeBundle(path=out, page=page, paper=paper, manifest=manifest, signed_by=principal)


def verify_bundle(project: Project, path: Path) -> VerifiedBundle:
    """Check a bundle: digests, signature, and whether its evidence gives its verdict.

    Raises:
        EvidenceError: it was changed, is built to do harm, or its signature is not good.
    """
    archive = open_bundle(path)
    signed_by = ""
    if archive.signature:
        signed_by = _signer_of(project, archive)
    same = None
    if "evidence/site.json" in archive.members:
        report = diagnose_site(evidence_of_record(project.content, record_of(archive)))
        same = (report.verdict, ids_of(report)) == (
            archive.manifest.verdict,
            archive.manifest.findings,
        )
    return VerifiedBundle(manifest=archive.manifest, signed_by=signed_by, same_verdict=same)


def diagnose_bundle(content: ContentRoot, path: Path) -> AuditResult:
    """Diagnose a bundle's evidence again, offline.

    Raises:
        EvidenceError: it is not whole, or holds no raw evidence.
    """
    archive = open_bundle(path)
    if "evidence/site.json" not in archive.members:
        raise EvidenceError(f"{path} holds no raw evidence", todo="Ask for a bundle with evidence")
    record = record_of(archive)
    evidence = evidence_of_record(content, record)
    report = AuditReport(
        run_id=archive.manifest.run_id,
        started_utc=archive.manifest.created_utc,
        tool=_TOOL,
        content_digest=content.digest,
        hosts=tuple(host.status for host in record.hosts),
        sites=(diagnose_site(evidence),),
    )
    return AuditResult(report=report, content=content)


def open_bundle(path: Path) -> Archive:
    """Read a bundle and check every member.

    Raises:
        EvidenceError: it cannot be read or is not whole.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}") from error
    return Archive(data, name=path.name)


def _small(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    raise TypeError  # pragma: no cover - only captures come packed


def _stamp(utc: str) -> str:
    return utc.replace("-", "").replace(":", "").partition("+")[0].rstrip("Z") + "Z"


def _stored(
    project: Project, request: EvidenceRequest
) -> tuple[StoredRun, StoredSite, Earlier | None]:
    """Return the run, what it kept about the site, and the look before a repair."""
    sites = [site for site in open_inventory(project).sites if site.name == request.site]
    if not sites:
        raise UsageError(f"the inventory holds no site {request.site!r}")
    with closing(RunStore.open(project.store_path, clock=SystemClock())) as store:
        runs = [store.find_run(request.run_id)] if request.run_id else _finished(store)
        for run_id in runs:
            names = {device.name for device in sites[0].devices}
            run = store.load_run(run_id, bodies=False)
            if not any(h.status.host in names and h.status.status == "ok" for h in run.hosts):
                continue
            stored = load_site(store, run_id, sites[0])
            if stored is None:
                continue
            return run, stored, earlier_look(project, store, run.info, sites[0])
    raise StoreError(
        f"no finished run read a device of {request.site}",
        todo=f"Run: mtughost diagnose {request.site}",
    )


def _finished(store: RunStore) -> list[str]:
    return [run.run_id for run in store.runs() if run.state == "complete"]


def _redaction_key(project: Project) -> bytes:
    """Return the project's key; one key keeps stand-ins the same over all its bundles."""
    path = project.state_dir / "redaction.key"
    if not path.exists():
        write_new(path, secrets.token_bytes(KEY_BYTES))
    return path.read_bytes()


def _signed(project: Project, data: bytes, key: Path | None) -> tuple[bytes, str]:
    if key is None:
        return b"", ""
    principal = principal_of(load_signers(project.allowed_signers), key_fingerprint(key))
    return sign(data, key=key, namespace=MANIFEST_NAMESPACE), principal


def _signer_of(project: Project, archive: Archive) -> str:
    signers = load_signers(project.allowed_signers)
    for entry in signers.entries:
        if MANIFEST_NAMESPACE not in entry.namespaces:
            continue
        try:
            good = verify(
                archive.manifest_data,
                archive.signature,
                signers=signers,
                principal=entry.principal,
                namespace=MANIFEST_NAMESPACE,
            )
        except PlanRefusedError:
            continue  # not this one's signature
        return good.principal
    raise EvidenceError(
        "the bundle's signature is not good for anybody in allowed_signers",
        todo=f'Add the sender with namespaces="{MANIFEST_NAMESPACE}", or do not trust it',
    )
