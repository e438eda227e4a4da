"""What must hold of the repository itself."""

import re
import subprocess

import pytest

KEY_MATERIAL = re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{40,}")
# Names of package registries' hosts, put together so that this file does not hold them.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("registry", "npmjs", "org"),
    )
]


@pytest.fixture(scope="module")
def tracked_texts(checkout):
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    texts = {}
    for name in filter(None, names):
        path = checkout / name
        if path.is_file():
            texts[name] = path.read_bytes().decode("utf-8", "replace")
    return texts


def test_the_top_level_holds_only_what_was_agreed(checkout, tracked_texts):
    agreed = {
        "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile",
        "constraints.txt", ".gitignore", ".ci", "benchmarks", "inventory", "tasks", "templates",
        "parsers", "tests", "runbooks", "mtughost",
    }  # fmt: skip

    assert {name.split("/")[0] for name in tracked_texts} <= agreed


def test_no_private_key_is_tracked(tracked_texts):
    holders = [name for name, text in tracked_texts.items() if KEY_MATERIAL.search(text)]

    assert holders == []


def test_no_registry_host_is_named(tracked_texts):
    found = [
        (name, host)
        for name, text in tracked_texts.items()
        for host in REGISTRY_HOSTS
        if host in text
    ]

    assert found == []


def test_constraints_are_pinned_by_hash_and_hold_no_address(tracked_texts):
    text = tracked_texts["constraints.txt"]
    pins = re.findall(r"^[a-z0-9][^\n]*?==[^\n]*(?:\n    --hash=[^\n]*)*", text, re.MULTILINE)

    assert len(pins) > 40
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text


def test_no_module_of_the_engine_is_longer_than_450_lines(tracked_texts):
    long = {
        name: text.count("\n")
        for name, text in tracked_texts.items()
        if name.startswith("mtughost/") and name.endswith(".py") and text.count("\n") > 450
    }

    assert long == {}
