"""The wheel holds the engine and the five content folders, and works outside the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel

NO_LAB = "not lab and not nightly and not browser and not wheel"
CONTENT = ("inventory", "tasks", "templates", "parsers", "runbooks")


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, checkout],
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return the python of a fresh environment that has the wheel but not the checkout."""
    home = tmp_path_factory.mktemp("installed")
    # The wheel alone is new: its dependencies come from the environment of the tests.
    venv.create(home, system_site_packages=False, with_pip=False)
    python = home / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    ours = sysconfig.get_path("purelib")
    keep = f"import sys; sys.path.append({ours!r})\n"
    (Path(site) / "dependencies.pth").write_text(keep, encoding="utf-8")
    return python


def run(python, *args, cwd, timeout_s=60):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MTUGHOST"))}
    env["XDG_STATE_HOME"] = str(cwd)
    return subprocess.run(
        [python, *args],
        cwd=cwd,
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def test_the_wheel_holds_exactly_the_tracked_content(wheel, checkout):
    tracked = subprocess.run(
        ["git", "ls-files", "mtughost", *CONTENT],
        cwd=checkout, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    expected = {
        name if name.startswith("mtughost/") else f"mtughost/_content/{name}" for name in tracked
    }
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert shipped == expected


def test_the_installed_engine_is_not_the_checkout(installed, checkout, tmp_path):
    result = run(installed, "-c", "import mtughost; print(mtughost.__file__)", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert not result.stdout.startswith(str(checkout))


def test_the_installed_engine_finds_its_packaged_content(installed, tmp_path):
    result = run(installed, "-m", "mtughost", "inventory", "check", cwd=tmp_path)

    assert result.returncode == 0, result.stderr


def test_every_command_has_help_in_the_installed_engine(installed, tmp_path):
    result = run(installed, "-m", "mtughost", "--help", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert "audit" in result.stdout


def test_init_makes_a_project_whose_inventory_is_valid(installed, tmp_path):
    made = run(installed, "-m", "mtughost", "init", "shop", cwd=tmp_path)
    checked = run(
        installed, "-m", "mtughost", "--project", "shop", "inventory", "check", cwd=tmp_path
    )

    assert (made.returncode, checked.returncode) == (0, 0), made.stderr + checked.stderr
    assert {p.name for p in (tmp_path / "shop").iterdir()} >= {*CONTENT, "mtughost.toml", "state"}


@pytest.mark.timeout(400)
def test_the_rooms_without_devices_pass_their_tests_against_the_installed_engine(
    installed, checkout, tmp_path
):
    for name in ("tests", "pyproject.toml", *CONTENT):  # the tests look at the content as files
        copy = shutil.copytree if (checkout / name).is_dir() else shutil.copy
        copy(checkout / name, tmp_path / name)
    rooms = ("model", "content", "diagnose", "dialects", "packets", "remedy", "report", "store")

    result = run(
        installed, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-m", NO_LAB,
        *(f"tests/{room}" for room in rooms), cwd=tmp_path, timeout_s=380,
    )  # fmt: skip

    assert result.returncode == 0, result.stdout[-4000:]
    assert int(re.search(r"(\d+) passed", result.stdout).group(1)) > 1000
