"""What might repair a gateway whose configuration is text, each with the clamps it would make.

A platform's lister (``mtughost/dialects/fixes.py``) names settings. They are put into the very
answers that the clamps were read from, and the platform's own reader reads those again: what a
clamp does on which version is known in one place only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mtughost.collect.reads import facts_from_answers
from mtughost.content.book import Book
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.dialects.fixes import FIXES
from mtughost.model.basis import value_or_none
from mtughost.model.clamps import Ruleset
from mtughost.model.config import ConfigFix, Wanted
from mtughost.model.errors import ContentError, PlanRefusedError
from mtughost.model.inventory import Device
from mtughost.model.session import Answer
from mtughost.remedy.candidates import Offered
from mtughost.remedy.forms import form_named


class FixOffers:
    """Lists fixes of command lines from a run's raw answers."""

    def __init__(
        self,
        answers: Callable[[str], Sequence[Answer]],
        devices: Mapping[str, Device],
        content: ContentRoot,
    ) -> None:
        """Prepare.

        Args:
            answers: Returns a device's, by inventory name.
            devices: By inventory name.
            content: Task books and parsers.
        """
        self._answers = answers
        self._devices = devices
        self._content = content

    def __call__(self, device_name: str, wanted: Sequence[Wanted]) -> Iterable[Offered] | None:
        """Return fixes from small to large; ``None`` where they are a packet filter's rules."""
        device = self._devices[device_name]
        book = load_book(self._content, device.platform)
        if book.fixes is None:
            # A platform without any change has none to choose from either.
            return None if book.change else ()
        lister = FIXES.get(book.fixes)
        if lister is None or book.state is None:
            raise ContentError(
                f"there is no lister of fixes {book.fixes!r}, or no state section",
                path=f"tasks/{book.platform}.yaml",
                key="fixes",
            )
        answers = list(self._answers(device_name))
        texts = {a.command_id: a.text for a in answers if a.status == "complete"}
        return self._offers(device, book, answers, lister(texts, wanted))

    def _offers(
        self, device: Device, book: Book, answers: list[Answer], fixes: Iterable[ConfigFix]
    ) -> Iterator[Offered]:
        for fix in fixes:
            ruleset = self._with_fix(device, book, answers, fix)
            if ruleset is not None:
                yield Offered(device=device, fix=fix, ruleset=ruleset)

    def _with_fix(
        self, device: Device, book: Book, answers: list[Answer], fix: ConfigFix
    ) -> Ruleset | None:
        form = form_named(book.state.form if book.state else "")
        changed = {answer.command_id: answer for answer in answers}
        try:
            for edit in fix.edits:
                answer = changed[edit.command]
                text = answer.text
                for setting in edit.settings:
                    text = form.edited(text, setting)
                changed[edit.command] = replace(answer, text=text)
        except (KeyError, PlanRefusedError):
            return None
        facts, _ = facts_from_answers(changed.values(), book, self._content, device)
        return value_or_none(facts.clamps)
