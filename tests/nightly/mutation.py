"""Measure how many seeded mutants of a directory its own tests kill; write MUTATION.md.

    python -P tests/nightly/mutation.py --sample 300 --seed 7 mtughost/diagnose mtughost/remedy
    python -P tests/nightly/mutation.py                 # only write the document anew

The tool is mutmut, in an environment of its own under ``build/mutation``, beside a copy of the
checkout. The tests are those that mirror the directory, or ``--tests``, and need no lab. Property
tests are left out as well: they are slow and draw at random, so that a kill by one of them could
not be repeated. What the document says is thus a lower bound.

To look at one mutant: ``cd build/mutation/mtughost.diagnose && ../env/bin/mutmut show NAME``. After
changing a test, copy it over the one in ``mutants/tests`` there and say ``mutmut run NAME``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
BUILD = CHECKOUT / "build" / "mutation"
DOCUMENT = HERE / "MUTATION.md"
KEPT = HERE / "mutation.json"
JUDGED = HERE / "mutants_judged.yaml"

TOOL = "mutmut==3.8.1"
FAST = "not lab and not nightly and not wheel and not browser and not hypothesis"
COLUMNS = (
    "directory",
    "score",
    "interval",
    "sampled of all",
    "ends",
    "alive, judged equivalent",
    "tests",
    "date",
    "commit",
    "tool",
    "seed",
)
#: How mutmut writes the end of a mutant's tests.
ENDS = {0: "survived", 1: "killed", 3: "killed", 5: "no tests", 33: "no tests"}
TIMED_OUT = {-24, 24, 36, 152, 255}

_GENERATE = """
from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants
copy_src_dir()
copy_also_copy_files()
create_mutants(1)
"""
_DIFFS = """
import json, sys
from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant
names = json.load(sys.stdin)
print(json.dumps({n: get_diff_for_mutant(n, path=find_mutant(n).path) for n in names}))
"""


def main(argv: Sequence[str]) -> None:
    """Run what was asked for and write the document."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directories", nargs="*", metavar="DIR", help="such as mtughost/diagnose")
    parser.add_argument("--sample", type=int, default=300, help="mutants per directory")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--tests", nargs="*", help="instead of those that mirror the directory")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tested at once")
    arguments = parser.parse_args(argv)
    rows = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for directory in arguments.directories:
        name = Path(directory).as_posix()
        tests = arguments.tests or [name.replace("mtughost", "tests", 1)]
        rows[name] = measured(name, tests, arguments)
        KEPT.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n", encoding="utf-8")
        print(_headline(name, rows[name]))  # noqa: T201 - a command's answer
    DOCUMENT.write_text(document(rows, judgements()), encoding="utf-8")


# -- measuring ----------------------------------------------------------------------------------


def measured(directory: str, tests: list[str], asked: argparse.Namespace) -> dict[str, Any]:
    """Return what the tests did to a sample of the mutants of a directory."""
    python = _environment()
    commit, folder = _commit(), _copied(directory, tests)
    _run([python, "-c", _GENERATE], folder)
    every = sorted(_exit_codes(folder))
    draw = random.Random(asked.seed)  # noqa: S311 - no secret
    names = draw.sample(every, min(asked.sample, len(every)))
    mutmut = str(Path(python).with_name("mutmut"))
    _run([mutmut, "run", "--max-children", str(asked.jobs), *names], folder)
    codes = _exit_codes(folder)
    ends = {name: _end(codes[name]) for name in names}
    alive = sorted(name for name in names if ends[name] != "killed")
    diffs = json.loads(_run([python, "-c", _DIFFS], folder, json.dumps(alive)))
    return {
        "when": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "commit": commit,
        "tool": TOOL,
        "seed": asked.seed,
        "tests": tests,
        "mutants": len(every),
        "sampled": len(names),
        "ends": dict(sorted(Counter(ends.values()).items())),
        "alive": [{"end": ends[name], **_mutant(name, diffs[name])} for name in alive],
    }


def _environment() -> str:
    """Return the Python of an environment with the tool, which sees this one's packages."""
    folder = BUILD / "env"
    python = folder / "bin" / "python"
    stamp = folder / TOOL
    if not stamp.exists():
        venv.create(folder, with_pip=True, clear=True)
        site = ["-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
        theirs = Path(_run([str(python), *site], CHECKOUT).strip())
        # Ours come second: pip then adds only what is missing, in versions that fit ours.
        ours = sysconfig.get_paths()["purelib"]
        (theirs / "ours.pth").write_text(f"{ours}\n", encoding="utf-8")
        _run([str(python), "-m", "pip", "install", "--quiet", TOOL], CHECKOUT)
        stamp.touch()
    return str(python)


def _copied(directory: str, tests: list[str]) -> Path:
    """Return a fresh copy of the checkout, set up for mutants of one directory."""
    folder = BUILD / directory.replace("/", ".")
    shutil.rmtree(folder, ignore_errors=True)
    listed = _run(["git", "ls-files", "-z"], CHECKOUT).split("\0")
    for path in (Path(name) for name in listed if name and (CHECKOUT / name).is_file()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / path, folder / path)
    tops = sorted({Path(name).parts[0] for name in listed if name} - {"mtughost", "tests"})
    (folder / "setup.cfg").write_text(
        "[mutmut]\n"
        "source_paths=mtughost\n"
        f"only_mutate={directory}/*\n"
        f"also_copy={_lines(tops)}\n"
        f"pytest_add_cli_args={_lines(['-m', FAST, '-p', 'no:cacheprovider'])}\n"
        f"pytest_add_cli_args_test_selection={_lines(tests)}\n"
        # Workers come from a process that ran no test: nothing a test left behind hides a mutant.
        "process_isolation=forkserver\n",
        encoding="utf-8",
    )
    return folder


def _lines(values: Iterable[str]) -> str:
    return "".join(f"\n  {value}" for value in values)


def _exit_codes(folder: Path) -> dict[str, int | None]:
    codes: dict[str, int | None] = {}
    for file in folder.glob("mutants/**/*.meta"):
        codes |= json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
    return codes


def _end(code: int | None) -> str:
    return "timed out" if code in TIMED_OUT else ENDS.get(code, f"exit code {code}")


def _mutant(name: str, diff: str) -> dict[str, str]:
    module, _, mangled = name.rpartition(".")
    function = mangled.rpartition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ")
    changed = [line for line in diff.splitlines() if line[:3] not in {"---", "+++"}]
    return {
        "function": f"{module}.{function.replace('ǁ', '.')}",
        "was": _one_line(line[1:] for line in changed if line.startswith("-")),
        "becomes": _one_line(line[1:] for line in changed if line.startswith("+")),
    }


def _one_line(lines: Iterable[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _commit() -> str:
    head = _run(["git", "rev-parse", "--short", "HEAD"], CHECKOUT).strip()
    changed = _run(
        ["git", "status", "--porcelain", "mtughost", "tests", ":!tests/nightly"], CHECKOUT
    ).strip()
    return f"{head} with changes" if changed else head


def _run(command: Sequence[str], folder: Path, given: str = "") -> str:
    # Programs that tests start import the mutants as well, and meet the same one.
    path = str(folder / "mutants")
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)[:200]}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


# -- the document -------------------------------------------------------------------------------


def judgements() -> dict[tuple[str, str, str], str]:
    """Return what people found about mutants that live, by function and changed lines.

    A word that begins with "equivalent" says that no test can tell, and why.
    """
    entries = yaml.safe_load(JUDGED.read_text(encoding="utf-8")) if JUDGED.exists() else []
    return {
        (entry["function"], one["was"], one["becomes"]): one["why"]
        for entry in entries
        for one in entry["mutants"]
    }


def document(rows: dict[str, Any], judged: dict[tuple[str, str, str], str]) -> str:
    """Return the document."""
    lines = [
        "# Mutation score",
        "",
        "Written by `make mutation`: a seeded sample of all mutants of a directory, each run",
        "with those of the named tests that reach the changed function. Labs, long runs and",
        "property tests are left out. The mutants are those of mutmut without exception, in",
        "every function that has no decorator (so in no property): `==` and `!=`, `<` and `<=`,",
        "`and` and `or`, `in`, `is`, `not`, arithmetic, numbers plus one, words (`XX` around",
        "them, upper and lower case), `True` and `False`, each argument as `None` or left out,",
        "each assignment as `None`, both arms of a conditional expression, each `case`, `break`",
        "and `continue`.",
        "",
        "The score is killed / sampled: a mutant that timed out or that no test reaches counts as",
        "alive, and so does one that was judged equivalent below. The interval is Wilson's, 95 %.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'--|' * len(COLUMNS)}",
    ]
    for directory, row in sorted(rows.items()):
        low, high = wilson(row["ends"].get("killed", 0), row["sampled"])
        words = [judged.get(_key(mutant), "") for mutant in row["alive"]]
        same = sum(word.startswith("equivalent") for word in words)
        cells = [
            f"`{directory}`",
            _percent(row["ends"].get("killed", 0) / row["sampled"]),
            f"{_percent(low)} to {_percent(high)}",
            f"{row['sampled']} of {row['mutants']}",
            ", ".join(f"{count} {end}" for end, count in row["ends"].items()),
            f"{same} of {len(row['alive'])}",
            ", ".join(f"`{name}`" for name in row["tests"]),
            row["when"],
            row["commit"],
            row["tool"],
            str(row["seed"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for directory, row in sorted(rows.items()):
        lines += ["", f"## Mutants of `{directory}` that live", ""]
        lines += ["| function | was | becomes | judged |", "|--|--|--|--|"]
        for mutant in sorted(row["alive"], key=_key):
            ended = "" if mutant["end"] == "survived" else f" ({mutant['end']})"
            word = judged.get(_key(mutant), "open")
            name = mutant["function"].removeprefix(directory.replace("/", ".") + ".")
            cells = [f"`{name}`", _code(mutant["was"]), _code(mutant["becomes"]), word + ended]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _key(mutant: dict[str, str]) -> tuple[str, str, str]:
    return mutant["function"], mutant["was"], mutant["becomes"]


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`" if text else "nothing"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    z = 1.96
    middle = (hits + z * z / 2) / (tries + z * z)
    half = z / (tries + z * z) * (hits * (tries - hits) / tries + z * z / 4) ** 0.5
    return middle - half, middle + half


def _headline(directory: str, row: dict[str, Any]) -> str:
    share = _percent(row["ends"].get("killed", 0) / row["sampled"])
    return f"{directory}: {share} of {row['sampled']} mutants killed (seed {row['seed']})"


if __name__ == "__main__":
    main(sys.argv[1:])
