"""A bundle that was changed, or that was built to do harm, is refused before anything is used."""

import hashlib
import io
import stat
import zipfile

import pytest

from mtughost.evidence import archive as zips
from mtughost.evidence.archive import Archive, write_archive
from mtughost.evidence.manifest import MANIFEST_SCHEMA, Manifest, Member, manifest_bytes
from mtughost.model.errors import EvidenceError

CONTENTS = {"report.md": b"# fake report\n", "raw/ap/01-links.txt": b"1: eth0 mtu 1500\n"}


def manifest(contents=None, **changed):
    contents = CONTENTS if contents is None else contents
    fields = {
        "schema": MANIFEST_SCHEMA,
        "created_utc": "2026-01-01T00:00:00Z",
        "tool": "mtughost 0",
        "content_digest": "sha256:00",
        "run_id": "r",
        "site": "s001",
        "recipient": "isp",
        "verdict": "fault",
        "findings": ("clamp-scope confirmed",),
        "kept_real": (),
        "replaced": (),
        "gaps": (),
        "members": tuple(
            Member(
                path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data), kind="report"
            )
            for path, data in contents.items()
        ),
    }
    return manifest_bytes(Manifest(**(fields | changed)))


@pytest.fixture
def bundle():
    return write_archive(manifest(), b"", CONTENTS)


def rebuilt(bundle, *, change=lambda _path, data: data, extra=()):
    """Return the zip again, with members changed or added by somebody else's program."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
        for info, data in extra:
            new.writestr(info, data)
    return out.getvalue()


def test_a_bundle_comes_back_as_it_was_written(bundle):
    read = Archive(bundle, name="a.zip")

    assert read.members == CONTENTS
    assert read.manifest.site == "s001"


def test_the_same_members_give_the_same_bytes(bundle):
    assert write_archive(manifest(), b"", dict(reversed(CONTENTS.items()))) == bundle


@pytest.mark.parametrize("path", CONTENTS)
def test_a_changed_member_is_detected(bundle, path):
    broken = rebuilt(bundle, change=lambda p, d: d[:-2] + b"!\n" if p == path else d)

    with pytest.raises(EvidenceError, match="was changed"):
        Archive(broken, name="a.zip")


@pytest.mark.parametrize("path", CONTENTS)
def test_a_missing_member_is_detected(bundle, path):
    broken = rebuilt(bundle, change=lambda p, d: None if p == path else d)

    with pytest.raises(EvidenceError, match="lacks"):
        Archive(broken, name="a.zip")


def test_a_member_that_nobody_listed_is_detected(bundle):
    broken = rebuilt(bundle, extra=[("more.txt", b"x")])

    with pytest.raises(EvidenceError, match="does not list"):
        Archive(broken, name="a.zip")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/cron.d/x",
        "/etc/passwd",
        "C:\\x",
        "a\\b",
        "raw/../x",
        "./x",
        "raw//x",
        "a\nb",
        "caf\u00e9",
        "raw/ap/01-LINKS.txt",
        "report.md",
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_or_doubled_name_is_refused(bundle, name):
    with pytest.raises(EvidenceError, match=r"no plain relative path|twice"):
        Archive(rebuilt(bundle, extra=[(name, b"x")]), name="a.zip")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_what_is_no_ordinary_file_is_refused(bundle, kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16

    with pytest.raises(EvidenceError, match="no ordinary file"):
        Archive(rebuilt(bundle, extra=[(info, b"/etc/passwd")]), name="a.zip")


def test_a_bomb_is_refused_before_it_is_unpacked(bundle, monkeypatch):
    bomb = zipfile.ZipInfo("bomb")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    monkeypatch.setattr(zips, "MAX_RATIO", 100)

    with pytest.raises(EvidenceError, match="a bomb"):
        Archive(rebuilt(bundle, extra=[(bomb, bytes(5_000_000))]), name="a.zip")


def test_more_bytes_in_all_than_any_honest_bundle_has_are_refused(bundle, monkeypatch):
    monkeypatch.setattr(zips, "MAX_TOTAL_BYTES", 20)

    with pytest.raises(EvidenceError, match="more than 20 bytes"):
        Archive(bundle, name="a.zip")


def test_a_member_that_lies_about_its_length_is_refused(bundle):
    # The central directory's size field of the first member, made larger by one.
    at = bundle.index(b"PK\x01\x02") + 24
    lying = (
        bundle[:at]
        + (int.from_bytes(bundle[at : at + 4], "little") + 1).to_bytes(4, "little")
        + bundle[at + 4 :]
    )

    with pytest.raises(EvidenceError):
        Archive(lying, name="a.zip")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a zip at all", bytes(1000)])
def test_what_is_no_zip_is_refused(data):
    with pytest.raises(EvidenceError, match="no readable zip"):
        Archive(data, name="a.zip")


def test_a_zip_without_a_manifest_is_no_bundle():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("report.md", b"x")

    with pytest.raises(EvidenceError, match="no manifest"):
        Archive(out.getvalue(), name="a.zip")


@pytest.mark.parametrize("cut", [10, 200, -30, -5])
def test_a_zip_that_was_cut_is_refused(bundle, cut):
    with pytest.raises(EvidenceError):
        Archive(bundle[:cut], name="a.zip")


def test_a_manifest_with_an_unknown_field_is_refused(bundle):
    odd = manifest().replace(b'{"content_digest"', b'{"a":1,"content_digest"')

    with pytest.raises(EvidenceError, match=r"manifest\.json is not valid"):
        Archive(rebuilt(bundle, change=lambda p, d: odd if p == "manifest.json" else d), name="a")
