"""A privileged mode behind a password, as Cisco's command lines have it."""

from __future__ import annotations

from mtughost.lab.fleet.device import Account, Cli, VirtualDevice

_TRIES = 3


class EnableCli(Cli):
    """A login that begins below the privileged mode if its account names a password for it.

    Attributes:
        refusal: What a third wrong password is answered with.
        again: What comes before the second and the third question.
    """

    refusal = "% Bad secrets\n\n"
    again = ""

    def __init__(self, device: VirtualDevice, account: Account) -> None:
        super().__init__(device, account)
        self.is_above = not account.enable
        self.is_asked = False
        self._tries = 0

    @property
    def echoes(self) -> bool:  # type: ignore[override]
        """Passwords do not appear."""
        return not self.is_asked

    @property
    def sign(self) -> str:
        """What ends the prompt."""
        return "#" if self.is_above else ">"

    def type(self, line: str) -> str:
        """Take one line; what is typed as a password is kept nowhere."""
        return self._entered(line) if self.is_asked else super().type(line)

    def enable(self) -> str:
        """``enable``: ask for the password, once it is needed."""
        self.is_asked, self._tries = not self.is_above, 0
        return ""

    def _entered(self, password: str) -> str:
        self._tries += 1
        if password == self.account.enable:
            self.is_above, self.is_asked = True, False
            return ""
        self.is_asked = self._tries < _TRIES
        return self.again if self.is_asked else self.refusal
