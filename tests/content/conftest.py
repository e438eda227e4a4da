"""A small, whole content folder that a test may break in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtughost.content.root import ContentRoot

BOOK = """\
platform: tiny
title: A tiny platform
driver: exec
pipeline: proven
pipeline_source: a test
commands:
  names:
    run: show names
    risk: passive
    basis: document
  look:
    run: show one {{ interface }} {{ address }} {{ count }}
    risk: active
    basis: document
    params:
      interface: {type: interface}
      address: {type: address}
      count: {type: integer, min: 1, max: 9}
read:
  interfaces:
    - {command: names, parser: names}
"""
PARSER = """\
Value NAME (\\S+)

Start
  ^name ${NAME} -> Record
"""


@pytest.fixture
def root(tmp_path: Path) -> ContentRoot:
    for folder in ("tasks", "parsers/tiny", "templates/tiny", "runbooks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tasks" / "tiny.yaml").write_text(BOOK)
    (tmp_path / "parsers" / "tiny" / "names.textfsm").write_text(PARSER)
    return ContentRoot(tmp_path)


@pytest.fixture
def book_path(root: ContentRoot) -> Path:
    return root.path / "tasks" / "tiny.yaml"
