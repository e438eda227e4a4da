"""The confusion matrix over generated labs: what was measured against what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mtughost.lab.expect import Allowed
from mtughost.lab.measure import Truth
from mtughost.lab.scenarios import Scenario
from mtughost.lab.spec import SiteSpec

SCHEMA = "mtughost/lab-matrix/v1"
_VERDICTS = ("fault", "latent", "not-mtu", "ok", "unknown")
#: ``abstained``: the tool said "unknown" and named no cause.
Score = Literal["right", "wrong", "abstained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One generated site, measured and diagnosed.

    Attributes:
        number: Of the site in its run; with the seed it makes the same site again.
        problem: Why the lab is thrown out, or ``""``.
        verdict: What the audit said.
        findings: Ids with a grade of likely or confirmed, in the audit's order.
        grades: Grades of ``findings``.
        said: The audit's own entry of the site, kept for what went wrong.
    """

    number: int
    spec: SiteSpec
    access: str
    truth: Truth
    problem: str
    allowed: Allowed
    verdict: str
    findings: tuple[str, ...]
    grades: tuple[str, ...]
    said: dict[str, Any]

    @property
    def first(self) -> str:
        """The first finding that counts, or ``""``."""
        return next((f for f in self.findings if f not in self.allowed.remarks), "")

    @property
    def score(self) -> Score:
        """Whether the first finding is right; a healthy site must have none."""
        if not self.allowed.first:
            return "right" if not self.first and self.verdict_right else "wrong"
        if self.first:
            return "right" if self.first in self.allowed.first else "wrong"
        if self.allowed.may_abstain and self.verdict_right and self.truth.works:
            # Nothing that this access can see is wrong.
            return "right"
        return "abstained"

    @property
    def verdict_right(self) -> bool:
        """Whether the verdict is the measured one, or honestly open."""
        open_ = self.allowed.may_abstain and self.verdict == "unknown"
        return open_ or self.verdict in self.allowed.verdicts

    @property
    def false_fault(self) -> bool:
        """Whether something is said to be wrong that was measured to be well."""
        return self.truth.verdict == "ok" and (
            bool(self.first) or self.verdict in {"fault", "latent", "not-mtu"}
        )

    @property
    def agrees(self) -> bool:
        """Whether verdict and first finding are right."""
        return self.verdict_right and self.score == "right"

    def document(self, *, reproduce: str) -> dict[str, Any]:
        """Return everything that is needed to look into it."""
        return {
            "number": self.number,
            "reproduce": reproduce,
            "access": self.access,
            "mode": self.spec.scenario,
            "scenario": _changed(self.spec.plan),
            "site": {
                key: value
                for key, value in asdict(self.spec).items()
                if key not in {"variant", "scenario"}
            },
            "problem": self.problem,
            "expected": {
                "verdicts": sorted(self.allowed.verdicts),
                "first": sorted(self.allowed.first),
            },
            "verdict": self.verdict,
            "findings": [list(pair) for pair in zip(self.findings, self.grades, strict=True)],
            "score": self.score,
            "truth": asdict(self.truth),
            "said": self.said,
        }


def _changed(scenario: Scenario) -> dict[str, Any]:
    """Return what differs from a scenario of which nothing was said."""
    plain = asdict(Scenario(name="", summary=""))
    return {key: value for key, value in asdict(scenario).items() if value != plain[key]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """All cases of one run with one kind of access.

    Attributes:
        seconds: How long the whole run took.
    """

    seed: int
    asked: int
    access: str
    cases: tuple[Case, ...]
    seconds: float

    @property
    def counted(self) -> tuple[Case, ...]:
        """The cases whose label held."""
        return tuple(case for case in self.cases if not case.problem)

    @property
    def thrown_out(self) -> tuple[Case, ...]:
        """The others."""
        return tuple(case for case in self.cases if case.problem)

    @property
    def disagreements(self) -> tuple[Case, ...]:
        """The counted cases in which verdict or first finding is not right."""
        return tuple(case for case in self.counted if not case.agrees)

    @property
    def false_faults(self) -> int:
        """How many healthy sites something was said against."""
        return sum(case.false_fault for case in self.counted)

    @property
    def share_right(self) -> float:
        """Share of counted cases whose first finding is right."""
        return sum(c.score == "right" for c in self.counted) / max(1, len(self.counted))

    @property
    def document(self) -> dict[str, Any]:
        """The matrix as JSON values."""
        return {
            "schema": SCHEMA,
            "basis": "real program",
            "seed": self.seed,
            "asked": self.asked,
            "access": self.access,
            "counted": len(self.counted),
            "thrown_out": len(self.thrown_out),
            "false_faults": self.false_faults,
            "share_right": round(self.share_right, 4),
            "seconds": round(self.seconds),
            "verdicts": self.verdicts(),
            "first_findings": self.by_mode(),
            "grades": self.grades(),
            "dialects": self.by_dialect(),
            "labs": [
                [case.number, case.spec.scenario, case.truth.verdict, case.verdict, case.first]
                for case in self.counted
            ],
            "disagreements": self._documents(self.disagreements),
            "labels_that_did_not_hold": self._documents(self.thrown_out),
        }

    def _documents(self, cases: Iterable[Case]) -> list[dict[str, Any]]:
        again = f"mtughost lab run --seed {self.seed} --access {self.access} --only"
        return [case.document(reproduce=f"{again} {case.number}") for case in cases]

    def verdicts(self) -> dict[str, dict[str, int]]:
        """Count verdicts by measured truth."""
        counts = Counter((case.truth.verdict, case.verdict) for case in self.counted)
        return {
            truth: {said: counts[truth, said] for said in _VERDICTS}  # type: ignore[index]
            for truth in _VERDICTS[:-1]
        }

    def by_mode(self) -> dict[str, dict[str, int]]:
        """Count scores by mode."""
        return _scores((case.spec.scenario, case.score) for case in self.counted)

    def by_dialect(self) -> dict[str, dict[str, int]]:
        """Count scores by the gateway's dialect."""
        return _scores((case.spec.style, case.score) for case in self.counted)

    def grades(self) -> dict[str, int]:
        """Count the grades of right first findings."""
        found: Counter[str] = Counter()
        for case in self.counted:
            if case.first and case.score == "right":
                found[case.grades[case.findings.index(case.first)]] += 1
        return dict(found)

    @property
    def table(self) -> str:
        """The matrix in Markdown."""
        head = (
            f"{len(self.counted)} labs counted, {len(self.thrown_out)} thrown out (seed "
            f"{self.seed}, access {self.access}, {self.seconds:.0f} s): "
            f"{self.false_faults} false faults, {self.share_right:.1%} right first findings"
        )
        lines = [
            head,
            "",
            f"| truth | {' | '.join(_VERDICTS)} |",
            f"|--|{'--|' * len(_VERDICTS)}",
        ]
        for truth, row in self.verdicts().items():
            lines.append(f"| {truth} | {' | '.join(str(row[said]) for said in _VERDICTS)} |")
        lines += ["", "| mode | right | wrong | abstained |", "|--|--|--|--|"]
        for mode, row in self.by_mode().items():
            lines.append(f"| {mode} | {row['right']} | {row['wrong']} | {row['abstained']} |")
        lines += [""] if self.disagreements or self.thrown_out else []
        for case in self.disagreements:
            wanted = ", ".join(sorted(case.allowed.first)) or "nothing"
            said = ", ".join(case.findings) or "nothing"
            lines.append(
                f"{case.number} {case.spec.scenario} ({case.spec.style}, TLS {case.spec.tls}): "
                f"measured {case.truth.verdict}, said {case.verdict}: {said}; expected {wanted}"
            )
        for case in self.thrown_out:
            lines.append(f"{case.number} {case.spec.scenario}: thrown out, {case.problem}")
        return "\n".join(lines)


def _scores(pairs: Iterable[tuple[str, Score]]) -> dict[str, dict[str, int]]:
    counts = Counter(pairs)
    scores: tuple[Score, ...] = ("right", "wrong", "abstained")
    names = sorted({name for name, _ in counts})
    return {name: {score: counts[name, score] for score in scores} for name in names}
