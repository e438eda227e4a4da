"""What the demos share: a stage on which a person's commands are typed, and how they end."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtughost.model.errors import MtughostError

Say = Callable[[str], None]
#: Exit code of an audit that found something, as every audit of a demo should.
FINDINGS = 10
_STEP_TIMEOUT_S = 300.0


class DemoError(MtughostError):
    """A step of the demo did not end as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the commands of a demo run.

    Attributes:
        out: Directory of the documents, and the one in which the commands are typed.
        project: The project's directory, with the keys of both people in ``ssh/``.
        typed: How a person's command line begins.
        command: Makes of a typed line what is executed.
        env: Environment of the commands.
        say: Prints one line.
    """

    out: Path
    project: Path
    typed: tuple[str, ...]
    command: Callable[[Sequence[str]], Sequence[str]]
    env: Mapping[str, str]
    say: Say

    def run(self, *words: str, expect: Sequence[int] = (0,)) -> None:
        """Type one command and let it print.

        Raises:
            DemoError: its exit code is none of ``expect``.
        """
        line = (*self.typed, *words)
        self.say(f"\n$ {shlex.join(line)}")
        done = subprocess.run(
            self.command(line), cwd=self.out, env=self.env, timeout=_STEP_TIMEOUT_S, check=False
        )
        if done.returncode not in expect:
            raise DemoError(
                f"{shlex.join(line)} ended with exit code {done.returncode}, "
                f"expected {' or '.join(map(str, expect))}",
                todo=f"The documents so far are in {self.out}",
            )

    def key(self, person: str) -> str:
        """Return the path of a person's private key: ``operator`` or ``approver``."""
        return str(self.project / "ssh" / person)

    def sites(self, file: str) -> dict[str, dict[str, Any]]:
        """Return the sites of an audit's JSON by their names."""
        document = json.loads((self.out / file).read_text(encoding="utf-8"))
        return {site["site"]: site for site in document["sites"]}

    def step(self, number: int, text: str) -> None:
        """Say which step comes."""
        self.say(f"\n-- {number}. {text}")

    def hand_over(self, number: int, site: str, name: str) -> None:
        """Make a site's evidence for the gateway's provider, and check it."""
        self.step(
            number, "Hand over the evidence to whoever runs the gateway: one zip, one page, signed."
        )
        bundle = str(self.out / f"evidence-{name}.zip")
        self.run(
            *("evidence", "--site", site, "--for", "gateway-provider", "--out", bundle),
            *("--key", self.key("operator")),
        )
        self.run("evidence", "verify", bundle)

    def repair(self, number: int, site: str, name: str) -> None:
        """Plan a site's repair, approve it as somebody else, and apply it: three steps."""
        plan = str(self.out / f"plan-{name}.json")
        self.step(number, "Plan the repair of one store. Nothing is changed: this is the dry run.")
        self.run("plan", "--site", site, "--reason", "RADsec never completes", "--out", plan)
        self.step(
            number + 1, "A second person, with a key of their own, approves exactly this plan."
        )
        self.run("approve", plan, "--key", self.key("approver"), "--yes")
        self.step(number + 2, "Apply: arm the undo, change, prove the service, confirm, save.")
        self.run("apply", plan)
