"""Bring hosts into the inventory from where they already live, checked before a byte is written."""

from __future__ import annotations

import difflib
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mtughost.app.project import Project
from mtughost.disk import PRIVATE, replace_file
from mtughost.fleet.files import FILES, MAX_FILE_BYTES
from mtughost.fleet.importing.ansible import read_ansible
from mtughost.fleet.importing.csv_file import read_csv
from mtughost.fleet.importing.hosts import ColumnMap, Imported, make_hosts
from mtughost.fleet.importing.merge import merge_hosts
from mtughost.fleet.importing.rows import Rows
from mtughost.fleet.importing.ssh_config import read_ssh_config
from mtughost.fleet.inventory import load_inventory
from mtughost.fleet.problems import MAX_TOLD
from mtughost.fleet.text import is_reference
from mtughost.model.errors import InventoryError, UsageError
from mtughost.model.inventory import Credential, Secret
from mtughost.model.yaml_lines import read_yaml

Format = Literal["csv", "ansible", "ssh-config", "netbox"]
ANSIBLE_TIMEOUT_S = 120.0
_HOSTS = FILES[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What to import.

    Attributes:
        kind: What ``source`` is.
        source: A file; for Ansible also an inventory that its own program reads; for NetBox its
            address.
        mapping: Columns, constants and translations.
        keep_going: Take the good rows although others are wrong.
        prune: Drop hosts that the source does not name.
        token: Reference to NetBox's API token, or ``""``.
        filters: What to ask NetBox for, as in its REST API.
    """

    kind: Format
    source: str
    mapping: ColumnMap = field(default_factory=ColumnMap)
    keep_going: bool = False
    prune: bool = False
    token: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What an import would write. Nothing is written yet.

    Attributes:
        path: The hosts.yaml that it is about.
        before: Its text now; ``None`` when it does not exist.
        after: Its text then.
        added: Names of new hosts.
        changed: Names of hosts that take new values.
        dropped: Names of hosts that the source does not name, with ``prune``.
        unchanged: How many say the same already.
        problems: Rows that gave no host.
        notes: What was left out, and warnings of the inventory, one line each.
    """

    path: Path
    before: str | None
    after: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    dropped: tuple[str, ...]
    unchanged: int
    problems: tuple[InventoryError, ...]
    notes: tuple[str, ...]

    def diff(self) -> str:
        """Return the unified diff of hosts.yaml."""
        return "".join(
            difflib.unified_diff(
                (self.before or "").splitlines(keepends=True),
                self.after.splitlines(keepends=True),
                str(self.path) if self.before is not None else "/dev/null",
                str(self.path),
            )
        )

    def write(self) -> None:
        """Replace hosts.yaml as a whole, and only if it still says what the plan was made from.

        Raises:
            InventoryError: it was changed meanwhile, or cannot be written.
        """
        if _present(self.path) != self.before:
            raise InventoryError("was changed meanwhile: import again", path=str(self.path))
        path = self.path.resolve()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = PRIVATE if self.before is None else stat.S_IMODE(path.stat().st_mode)
            replace_file(path, self.after.encode("utf-8"), mode=mode)
        except OSError as error:
            raise InventoryError(
                f"cannot be written: {error.strerror}", path=str(self.path)
            ) from error


def plan_import(project: Project, request: ImportRequest) -> ImportPlan:
    """Read the source and say what hosts.yaml would be; the result is checked as an inventory.

    Args:
        project: Its inventory is the target, and its task books are the known platforms.
        request: What to import.

    Raises:
        InventoryError: the source cannot be read, rows are wrong (unless ``keep_going``), or the
            inventory would be wrong with the new hosts in it.
        UsageError: the mapping names what there is not, or the inventory is the shipped one.
    """
    directory = _target(project)
    path = directory / _HOSTS
    imported = make_hosts(_read(request), request.mapping)
    if imported.problems and not request.keep_going:
        raise _all(imported.problems)
    if not imported.hosts:
        raise (
            _all(imported.problems)
            if imported.problems
            else InventoryError("holds no device", path=request.source)
        )
    before = _present(path)
    after = merge_hosts(before or "", imported.hosts, path=str(path), prune=request.prune)
    warnings = [
        warning
        for warning in _checked(directory, after, project)
        if any(f": {name}: " in warning for name in imported.hosts)
    ]
    return _plan(path, before, after, imported, warnings)


def _target(project: Project) -> Path:
    """Return the inventory to write to: never the lab's own one that mtughost ships."""
    if project.inventory_dir == project.content.path / "inventory" and project.root is None:
        raise UsageError(
            "the inventory in use is the shipped one, which stays as it is",
            todo="Make a project (mtughost init DIR) or name a folder with --inventory",
        )
    return project.inventory_dir


def _plan(
    path: Path, before: str | None, after: str, imported: Imported, warnings: Sequence[str]
) -> ImportPlan:
    known = _names(before)
    new = _names(after)
    names = list(imported.hosts)
    return ImportPlan(
        path=path,
        before=before,
        after=after,
        added=tuple(name for name in names if name not in known),
        changed=tuple(name for name in names if name in known and known[name] != new[name]),
        dropped=tuple(name for name in known if name not in new),
        unchanged=sum(name in known and known[name] == new[name] for name in names),
        problems=imported.problems,
        notes=(*imported.notes, *warnings),
    )


def _names(text: str | None) -> Mapping[str, object]:
    value = read_yaml(text or "").value
    return value if isinstance(value, dict) else {}


def _read(request: ImportRequest) -> Rows:
    if request.kind == "csv":
        return read_csv(_text(request.source), request.source)
    if request.kind == "ssh-config":
        return read_ssh_config(_text(request.source), request.source)
    if request.kind == "ansible":
        return read_ansible(_ansible_json(request.source), request.source)
    from mtughost.fleet.importing.netbox import read_netbox  # noqa: PLC0415  # needs an extra

    return read_netbox(request.source, _token(request.token), request.filters)


def _token(reference: str) -> Secret | None:
    if not reference:
        return None
    if not is_reference(reference):
        # The command line is in the shell's history and in ps: never echo what stands there.
        raise UsageError(
            "the token must be a reference, not the token itself",
            todo="Give env:NAME, file:PATH or keyring:SERVICE/USER",
        )
    from mtughost.wire.secrets import SecretResolver  # noqa: PLC0415 - SSH takes long to load

    credential = Credential(realm="netbox", username="", password_ref=reference)
    return SecretResolver().password(credential)


def _text(source: str) -> str:
    path = Path(source).expanduser()
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InventoryError(f"is larger than {MAX_FILE_BYTES} bytes", path=source)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InventoryError(
            "expected UTF-8 text", path=source, line=line, todo="Save it as UTF-8 (CSV UTF-8)"
        ) from None
    except OSError as error:
        raise InventoryError(f"cannot be read: {error.strerror}", path=source) from error


def _ansible_json(source: str) -> str:
    """Return the JSON itself, or let Ansible's own program make it from its inventory."""
    path = Path(source).expanduser()
    if path.is_file() and path.suffix == ".json" and '"_meta"' in (text := _text(source)):
        return text
    program = shutil.which("ansible-inventory")
    if program is None:
        raise InventoryError(
            "only ansible-inventory can read this, and it is not installed here",
            path=source,
            todo="Where it is: ansible-inventory -i INVENTORY --list > stores.json; import that",
        )
    try:
        done = subprocess.run(
            [program, "-i", source, "--list"],
            check=False,
            capture_output=True,
            text=True,
            timeout=ANSIBLE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise InventoryError(
            f"ansible-inventory did not end within {ANSIBLE_TIMEOUT_S:.0f} s", path=source
        ) from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InventoryError(f"ansible-inventory failed: {said[:300]}", path=source)
    return done.stdout


def _present(path: Path) -> str | None:
    return _text(str(path)) if path.exists() else None


def _checked(directory: Path, after: str, project: Project) -> list[str]:
    """Load the inventory that would result; its messages name the files that will be."""
    with tempfile.TemporaryDirectory(prefix="mtughost-import-") as made:
        trial = Path(made)
        for name in FILES[1:]:
            if (directory / name).exists():
                shutil.copyfile(directory / name, trial / name)
        (trial / _HOSTS).write_text(after, encoding="utf-8")
        try:
            found = load_inventory(trial, known_platforms=project.content.platforms()).warnings
            return [warning.replace(str(trial), str(directory)) for warning in found]
        except InventoryError as error:
            raise _renamed(error, trial, directory) from None


def _renamed(error: InventoryError, trial: Path, directory: Path) -> InventoryError:
    for item in (error, *error.others):
        item.path = item.path.replace(str(trial), str(directory))
    return error


def _all(problems: tuple[InventoryError, ...]) -> InventoryError:
    first, others = problems[0], list(problems[1:MAX_TOLD])
    if len(problems) > MAX_TOLD:
        others.append(InventoryError(f"and {len(problems) - MAX_TOLD} more problems"))
    first.others = tuple(others)
    return first
