"""Where task books, parsers, templates and runbooks are found, and which folder is trusted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal

from mtughost.disk import replace_file
from mtughost.model.errors import ContentError

#: The operator's folders (DESIGN section 2), in the order in which data flows through them.
CONTENT_FOLDERS = ("inventory", "tasks", "parsers", "templates", "runbooks")
#: What decides which bytes are sent and how answers are read. An inventory may live elsewhere.
ENGINE_FOLDERS = ("tasks", "parsers", "templates", "runbooks")
PROJECT_FILE = "mtughost.toml"
MAX_FILE_BYTES = 1024 * 1024

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class ContentRoot:
    """The directory that holds the five folders.

    Attributes:
        path: The directory.
        origin: How it was found.
    """

    path: Path
    origin: Literal["project", "packaged", "checkout"] = "project"

    @cached_property
    def digest(self) -> str:
        """``sha256:`` over names and bytes of all files of the five folders, in sorted order."""
        total = hashlib.sha256()
        for name, path in sorted(self._files()):
            data = path.read_bytes()
            total.update(f"{name}\0{len(data)}\0".encode())
            total.update(data)
        return f"sha256:{total.hexdigest()}"

    def _files(self) -> Iterator[tuple[str, Path]]:
        for folder in CONTENT_FOLDERS:
            for path in (self.path / folder).rglob("*"):
                relative = path.relative_to(self.path)
                hidden = any(part.startswith(".") for part in relative.parts)
                # What editors leave, and a site's own inventory, is no shipped content.
                passing = path.name.endswith(("~", ".swp", ".local.yaml"))
                if path.is_file() and not hidden and not passing:
                    yield relative.as_posix(), path

    def file(self, folder: str, *parts: str) -> Path:
        """Return the path of one file of content.

        Raises:
            ContentError: a part is not a plain name, or a link leads out of the content.
        """
        for part in parts:
            if not _NAME.fullmatch(part) or ".." in part:
                raise ContentError(
                    f"{part!r} is not a plain file name", path=str(self.path / folder)
                )
        path = self.path.joinpath(folder, *parts)
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise ContentError("leads out of the content by a link", path=str(path))
        return path

    def text(self, path: Path) -> str:
        """Return a file's text.

        Raises:
            ContentError: missing, unreadable, too large or not UTF-8.
        """
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ContentError(
                f"cannot be read: {error.strerror or error}",
                path=str(path),
                todo="Run mtughost doctor, or name the right project with --project",
            ) from error
        if len(data) > MAX_FILE_BYTES:
            raise ContentError(f"is larger than {MAX_FILE_BYTES} bytes", path=str(path))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ContentError(f"is not UTF-8: {error.reason}", path=str(path)) from error

    def platforms(self) -> tuple[str, ...]:
        """Return the names of all task books, sorted."""
        return tuple(sorted(path.stem for path in (self.path / "tasks").glob("*.yaml")))


def find_content(
    project: Path | None, env: Mapping[str, str], *, cwd: Path | None = None
) -> ContentRoot:
    """Find the content: ``--project``, ``$MTUGHOST_PROJECT``, packaged, checkout.

    Args:
        project: Directory named on the command line.
        env: Environment, for ``MTUGHOST_PROJECT`` and the trust file.
        cwd: Current directory. It counts, after the two above, only when it holds
            ``mtughost.toml`` and was trusted once.

    Returns:
        The project's content, or the packaged content for a project that brings none of its own.

    Raises:
        ContentError: the named project does not exist or has only some of the folders.
    """
    named = project or (Path(env["MTUGHOST_PROJECT"]) if env.get("MTUGHOST_PROJECT") else None)
    if named is None and cwd is not None and is_trusted(cwd, env):
        named = cwd
    return packaged_content() if named is None else _project_content(named)


def _project_content(directory: Path) -> ContentRoot:
    if not directory.is_dir():
        raise ContentError(
            "the project directory does not exist",
            path=str(directory),
            todo=f"Make it with: mtughost init {directory}",
        )
    present = [folder for folder in ENGINE_FOLDERS if (directory / folder).is_dir()]
    if not present:
        return packaged_content()
    if missing := [folder for folder in ENGINE_FOLDERS if folder not in present]:
        raise ContentError(
            f"the project has {', '.join(present)} but not {', '.join(missing)}",
            path=str(directory),
            todo="Bring all of them or none: half a set would mix two versions of the content",
        )
    return ContentRoot(directory.resolve(), "project")


def packaged_content() -> ContentRoot:
    """Return the content shipped with this installation, or that of the checkout.

    Raises:
        ContentError: neither is there.
    """
    package = Path(str(files("mtughost")))
    if (package / "_content" / "tasks").is_dir():
        return ContentRoot(package / "_content", "packaged")
    if all((package.parent / folder).is_dir() for folder in ENGINE_FOLDERS):
        return ContentRoot(package.parent, "checkout")
    raise ContentError(
        "the installation has no task books, parsers, templates and runbooks",
        path=str(package),
        todo="Install the wheel again, or name a project with --project",
    )


def trust_file(env: Mapping[str, str]) -> Path:
    """Return the user's list of trusted project directories."""
    base = env.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "mtughost" / "trusted"


def is_trusted(directory: Path, env: Mapping[str, str]) -> bool:
    """Say whether ``directory`` holds ``mtughost.toml`` and was trusted once, by its real path."""
    if not (directory / PROJECT_FILE).is_file():
        return False
    try:
        listed = trust_file(env).read_text(encoding="utf-8").split("\n")
    except OSError:
        return False
    return str(directory.resolve()) in listed


def trust_folder(directory: Path, env: Mapping[str, str]) -> None:
    """Remember that ``directory`` may be the project when it is the current directory.

    Raises:
        ContentError: the directory's path holds a line end.
    """
    real = str(directory.resolve())
    if "\n" in real:
        raise ContentError("the directory's name holds a line end", path=ascii(real))
    path = trust_file(env)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        listed = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        listed = []
    lines = sorted({line for line in listed if line} | {real})
    replace_file(path, ("\n".join(lines) + "\n").encode("utf-8"))
