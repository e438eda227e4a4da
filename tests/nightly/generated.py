"""Run generated labs seed by seed, keep every matrix, and write GENERATED.md from all of them.

    python -P tests/nightly/generated.py --n 100 --keep FOLDER 1001 1002 1003 1004

Each seed is one run with both kinds of access; a seed whose matrices are in FOLDER already is not
run again, so that a long run may be done in pieces. Without seeds only the document is written.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCUMENT = HERE / "GENERATED.md"
ACCESSES = ("all", "ap-only")
VERDICTS = ("fault", "latent", "not-mtu", "ok", "unknown")
SCORES = ("right", "wrong", "abstained")
GRADES = ("confirmed", "likely")


def main(argv: Sequence[str]) -> None:
    """Run what is missing and write the document."""
    arguments = _arguments(argv)
    keep: Path = arguments.keep
    keep.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        if not all(_file(keep, seed, access).exists() for access in ACCESSES):
            _run(seed, arguments.n, keep)
    documents = {access: _kept(keep, access) for access in ACCESSES}
    if documents["all"]:
        DOCUMENT.write_text(document(documents), encoding="utf-8")
        print(_headline(documents["all"]))  # noqa: T201 - a command's answer
        print(_headline(documents["ap-only"]))  # noqa: T201 - a command's answer


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seeds", type=int, nargs="*")
    parser.add_argument("--n", type=int, default=100, help="labs per seed")
    parser.add_argument("--keep", type=Path, required=True, help="where the matrices are kept")
    return parser.parse_args(argv)


def _kept(folder: Path, access: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob(f"*-{access}.json"))]


def _file(folder: Path, seed: int, access: str) -> Path:
    return folder / f"{seed}-{access}.json"


def _run(seed: int, count: int, keep: Path) -> None:
    from mtughost.app.lab_generated import Wish, run_generated  # noqa: PLC0415 - only where needed

    say = lambda text: print(f"seed {seed}: {text}", flush=True)  # noqa: E731, T201
    for matrix in run_generated(Wish(seed=seed, count=count, accesses=ACCESSES), say):
        target = _file(keep, seed, matrix.access)
        target.write_text(json.dumps(matrix.document, indent=1), encoding="utf-8")
        print(matrix.table, flush=True)  # noqa: T201 - a command's answer


def document(documents: dict[str, list[dict[str, Any]]]) -> str:
    """Return the document of several runs."""
    whole = documents["all"]
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}"
    lines = [
        "# Generated labs: what was measured against what was said",
        "",
        "Written by `python -P tests/nightly/generated.py`; `mtughost lab run --seed S --n N`",
        "makes the labs of one seed again, `--only K` one of them. Kernel, packet filters,",
        "OpenSSH, FreeRADIUS and radsecproxy are real programs; the stores are not. Rows are what",
        "a real client and captures measured, columns what an audit with probes and captures said.",
        "",
        "Right is a first finding whose repair alone makes the site work; a healthy site must",
        "have none. From the access points alone, causes that look the same from there are equally",
        "right. An open verdict without a finding counts as right only where nothing that is wrong",
        "can be seen: a working site whose luck lies behind the gateway or, with every login, too,",
        "a clamp for one direction while the service sends nothing large in the other. These are",
        "counted as left open.",
        "",
        f"- date: {dt.datetime.now(dt.UTC):%Y-%m-%d} UTC",
        f"- seeds: {', '.join(str(d['seed']) for d in whole)}, {whole[0]['asked']} labs each",
        f"- machine: {machine}, Python {platform.python_version()}",
        f"- time: {_sum(whole, 'seconds')} s for both kinds of access, measuring included",
    ]
    for access, title in (("all", "With every login"), ("ap-only", "From the access points alone")):
        lines += ["", f"## {title}", "", *_section(documents[access])]
    lines += ["", "## Where the two differ", "", *_cost(documents)]
    return "\n".join(lines) + "\n"


def _section(runs: list[dict[str, Any]]) -> list[str]:
    lines = [_headline(runs), "", f"| truth | {' | '.join(VERDICTS)} |", "|--|--|--|--|--|--|"]
    for truth in VERDICTS[:-1]:
        row = [sum(run["verdicts"][truth][said] for run in runs) for said in VERDICTS]
        lines.append(f"| {truth} | {' | '.join(map(str, row))} |")
    for name, title in (("first_findings", "mode"), ("dialects", "dialect of the gateway")):
        lines += ["", f"| {title} | {' | '.join(SCORES)} |", "|--|--|--|--|"]
        for mode in sorted({mode for run in runs for mode in run[name]}):
            row = [sum(run[name].get(mode, {}).get(score, 0) for run in runs) for score in SCORES]
            lines.append(f"| {mode} | {' | '.join(map(str, row))} |")
    wrong = [(run, each) for run in runs for each in run["disagreements"]]
    lines += ["", "Not right:" if wrong else "Everything was right."]
    lines += [""] if wrong else []
    lines += [_difference(run["seed"], each) for run, each in wrong]
    thrown = [(run, each) for run in runs for each in run["labels_that_did_not_hold"]]
    lines += ["", "Thrown out, because what was measured is not what was built:"] if thrown else []
    lines += [""] if thrown else []
    lines += [f"- {run['seed']}/{each['number']} {each['mode']}: {each['problem']}"
              for run, each in thrown]  # fmt: skip
    return lines


def _difference(seed: int, each: dict[str, Any]) -> str:
    said = ", ".join(f"{finding} ({grade})" for finding, grade in each["findings"]) or "nothing"
    wanted = " or ".join(each["expected"]["first"]) or "nothing"
    return (
        f"- {seed}/{each['number']} {each['mode']}: measured {each['truth']['verdict']}, said "
        f"{each['verdict']}: {said}; expected {wanted} ({each['score']})"
    )


def _headline(runs: Iterable[dict[str, Any]]) -> str:
    runs = list(runs)
    counted = _sum(runs, "counted")
    scores = Counter[str]()
    for run in runs:
        for row in run["first_findings"].values():
            scores.update(row)
    healthy = sum(sum(run["verdicts"]["ok"].values()) for run in runs)
    share = scores["right"] / max(1, counted)
    left_open = sum(
        1
        for run in runs
        for _, _, truth, said, first in run["labs"]
        if truth != "ok" and said in {"unknown", "ok"} and not first
    )
    left_open -= scores["abstained"]
    return (
        f"{counted} labs counted, {_sum(runs, 'thrown_out')} thrown out: "
        f"{_sum(runs, 'false_faults')} false faults at {healthy} healthy ones, "
        f"{scores['right']} right first findings ({share:.1%}), {scores['wrong']} wrong, "
        f"{scores['abstained']} abstained; of the right ones {left_open} left open"
    )


def _cost(documents: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = ["| grade of right first findings | every login | access points alone |", "|--|--|--|"]
    for grade in GRADES:
        row = [sum(run["grades"].get(grade, 0) for run in documents[access]) for access in ACCESSES]
        lines.append(f"| {grade} | {' | '.join(map(str, row))} |")
    return lines


def _sum(runs: Iterable[dict[str, Any]], key: str) -> int:
    return sum(int(run[key]) for run in runs)


if __name__ == "__main__":
    main(sys.argv[1:])
