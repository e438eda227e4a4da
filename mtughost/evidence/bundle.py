"""From a redacted record to members with provenance, and back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from mtughost.evidence.archive import Archive, Content
from mtughost.evidence.manifest import Member, MemberKind
from mtughost.evidence.site_redaction import NO_CREDENTIAL, SiteRecord
from mtughost.model.errors import EvidenceError
from mtughost.model.findings import HostStatus
from mtughost.model.inventory import Site
from mtughost.model.session import Answer
from mtughost.store.bodies import Body, pack
from mtughost.store.values import Ingested, StoredCapture, StoredHost

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SITE = TypeAdapter(Site)
_ANSWER = TypeAdapter(Answer)
_STATUS = TypeAdapter(HostStatus)
_INGESTED = TypeAdapter(Ingested)


@dataclass(slots=True)
class MemberSet:
    """Members in the making: contents and what the manifest says of them.

    Attributes:
        folder: Goes before every path that is added.
    """

    contents: dict[str, Content]
    members: list[Member]
    folder: str = ""

    @classmethod
    def empty(cls) -> MemberSet:
        """Begin."""
        return cls({}, [])

    def add(self, path: str, data: Content, kind: MemberKind, **provenance: str) -> None:
        """Add one member; what is large comes packed.

        Raises:
            EvidenceError: a member of that path is there already.
        """
        path = self.folder + path
        if path in self.contents:
            raise EvidenceError(f"the bundle would hold {path} twice")
        self.contents[path] = data
        if isinstance(data, Body):
            sha256, size = data.sha256, data.size_bytes
        else:
            sha256, size = hashlib.sha256(data).hexdigest(), len(data)
        self.members.append(Member(path=path, sha256=sha256, size=size, kind=kind, **provenance))


def add_record(
    members: MemberSet, record: SiteRecord, basis_of: Mapping[str, str], *, under: str = ""
) -> None:
    """Add everything that was read at a site: one file per answer and capture.

    Args:
        members: Where to.
        record: Redacted.
        basis_of: What a host's answers rest on, by name.
        under: Folder of another look at the same site, such as ``before/``.
    """
    members = replace(members, folder=under)
    members.add("evidence/site.json", _json(_site(record.site)), "site")
    members.add("evidence/probes.json", _json(list(record.probes)), "probes")
    hosts = []
    for host in record.hosts:
        answers = []
        for number, answer in enumerate(host.answers, start=1):
            path = answer_path(host.status.host, number, answer)
            members.add(
                path,
                answer.text.encode("utf-8", "surrogateescape"),
                "answer",
                host=host.status.host,
                command=answer.line,
                when_utc=answer.started_utc,
                basis=basis_of.get(host.status.host, ""),
            )
            answers.append({"path": path, **asdict(replace(answer, text=""))})
        hosts.append(
            {
                "status": asdict(host.status),
                "extra": dict(host.extra),
                "recorded_utc": host.recorded_utc,
                "answers": answers,
            }
        )
    members.add("evidence/hosts.json", _json(hosts), "hosts")
    members.add("evidence/far-ends.json", _json(list(record.far_ends)), "probes")
    _add_handed_in(members, record)
    _add_captures(members, record)


def answer_path(host: str, number: int, answer: Answer) -> str:
    """Return where an answer lies in a bundle; ``number`` counts the host's answers from 1."""
    return f"raw/{_safe(host)}/{number:02d}-{_safe(answer.command_id)}.txt"


def _add_handed_in(members: MemberSet, record: SiteRecord) -> None:
    index = []
    for number, item in enumerate(record.handed_in, start=1):
        path = handed_in_path(number, item)
        # A told value has no output: its own sentence is the file, for whoever opens the zip.
        text = item.text if item.command_id else f"{item.told_key}={item.told_value}\n"
        members.add(
            path,
            text.encode("utf-8", "surrogateescape"),
            "handed-in",
            host=item.host,
            command=item.line,
            when_utc=item.on,
            basis="recorded output" if item.command_id else "told",
            told=item.note,
        )
        index.append({"path": path, **asdict(replace(item, text=""))})
    members.add("evidence/handed-in.json", _json(index), "handed-in")


def handed_in_path(number: int, item: Ingested) -> str:
    """Return where something handed in lies in a bundle; ``number`` counts from 1."""
    return (
        f"handed-in/{number:02d}-{_safe(item.host)}-{_safe(item.command_id or item.told_key)}.txt"
    )


def _add_captures(members: MemberSet, record: SiteRecord) -> None:
    index = []
    for number, item in enumerate(record.captures, start=1):
        path = f"captures/{number:02d}-{_safe(item.host)}-{_safe(item.point)}.pcap"
        members.add(
            path,
            item.body,
            "capture",
            host=item.host,
            command=str(item.meta.get("command", "")),
            when_utc=item.recorded_utc,
            basis=str(item.meta.get("basis", "")),
        )
        index.append(
            {
                "path": path,
                "host": item.host,
                "point": item.point,
                "interface": item.interface,
                "recorded_utc": item.recorded_utc,
                "meta": dict(item.meta),
            }
        )
    members.add("captures/index.json", _json(index), "capture")


def record_of(archive: Archive) -> SiteRecord:
    """Return what a checked bundle holds, ready to be diagnosed again.

    Raises:
        EvidenceError: a member does not hold what its kind says.
    """
    try:
        site = _read_site(_load(archive, "evidence/site.json"))
        hosts = tuple(_read_host(archive, item) for item in _load(archive, "evidence/hosts.json"))
        captures = tuple(
            _read_capture(archive, item) for item in _load(archive, "captures/index.json")
        )
        probes = tuple(dict(item) for item in _load(archive, "evidence/probes.json"))
        far_ends = tuple(dict(item) for item in _load(archive, "evidence/far-ends.json"))
        handed_in = tuple(
            _read_handed_in(archive, item) for item in _load(archive, "evidence/handed-in.json")
        )
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"a member of the bundle is not what it should be: {str(error)[:200]}",
            todo="It may be from a newer version of the tool",
        ) from error
    return SiteRecord(
        site=site,
        hosts=hosts,
        captures=captures,
        probes=probes,
        far_ends=far_ends,
        handed_in=handed_in,
    )


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def _load(archive: Archive, path: str) -> Any:
    return json.loads(archive.members[path])


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text).strip("._") or "_"


def _site(site: Site) -> dict[str, Any]:
    plain = asdict(site)
    for device in plain["devices"]:
        del device["credential"]
    return plain


def _read_site(data: Any) -> Site:
    for device in data["devices"]:
        device["credential"] = asdict(NO_CREDENTIAL)
    return _SITE.validate_python(data)


def _read_host(archive: Archive, item: Any) -> StoredHost:
    answers = []
    for entry in item["answers"]:
        fields = {key: value for key, value in entry.items() if key != "path"}
        text = archive.members[entry["path"]].decode("utf-8", "surrogateescape")
        answers.append(_ANSWER.validate_python({**fields, "text": text}))
    return StoredHost(
        status=_STATUS.validate_python(item["status"]),
        answers=tuple(answers),
        extra=dict(item["extra"]),
        recorded_utc=str(item["recorded_utc"]),
    )


def _read_handed_in(archive: Archive, item: Any) -> Ingested:
    fields = {key: value for key, value in item.items() if key != "path"}
    read: Ingested = _INGESTED.validate_python({**fields, "text": ""})
    if not read.command_id:
        return read
    return replace(read, text=archive.members[item["path"]].decode("utf-8", "surrogateescape"))


def _read_capture(archive: Archive, item: Any) -> StoredCapture:
    data = archive.members[item["path"]]
    return StoredCapture(
        host=str(item["host"]),
        point=str(item["point"]),
        interface=str(item["interface"]),
        body=pack(data),
        meta=dict(item["meta"]),
        recorded_utc=str(item["recorded_utc"]),
    )
