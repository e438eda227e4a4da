"""Who receives a bundle: what they must act on, and which identifiers stay real for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mtughost.model.errors import UsageError
from mtughost.model.evidence import Point
from mtughost.model.findings import Owner

#: The name of the service and the far end's address stay for everybody: a ticket is about them.


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One kind of recipient.

    Attributes:
        name: As on the command line.
        title: For the page.
        acts_on: Owners whose findings this recipient must act on.
        keeps: Kinds of identifiers that stay real.
        keeps_wan: Whether the site's addresses towards the provider stay real.
        raw: Whether raw answers and captures are handed over.
        side: Point of the path that the recipient sees, too.
    """

    name: str
    title: str
    acts_on: frozenset[Owner]
    keeps: frozenset[str]
    keeps_wan: bool = False
    raw: bool = True
    side: Point = "ap"


RECIPIENTS: Final = {
    recipient.name: recipient
    for recipient in (
        Recipient(
            name="isp",
            title="the internet provider",
            acts_on=frozenset({"isp"}),
            # It finds the circuit by its number and its own address, and needs nothing behind it.
            keeps=frozenset({"isp", "circuit", "modem", "ticket"}),
            keeps_wan=True,
            side="gateway-wan",
        ),
        Recipient(
            name="gateway-provider",
            title="the provider of the gateway",
            acts_on=frozenset({"gateway", "provider"}),
            # It owns the gateway and knows the site's addresses already.
            keeps=frozenset(
                {
                    "isp",
                    "circuit",
                    "modem",
                    "ticket",
                    "site",
                    "host",
                    "address",
                    "mac",
                    "controller",
                }
            ),
        ),
        Recipient(
            name="ap-vendor",
            title="the maker of the access point",
            acts_on=frozenset({"ap", "host", "cloud"}),
            keeps=frozenset({"serial", "mac", "ticket", "service"}),
        ),
        Recipient(
            name="management",
            title="our own management",
            acts_on=frozenset({"ap", "gateway", "provider", "isp", "cloud", "host"}),
            keeps=frozenset({"isp", "circuit", "modem", "ticket", "site", "host", "contact"}),
            raw=False,
        ),
    )
}


def recipient_named(name: str) -> Recipient:
    """Return a recipient by name.

    Raises:
        UsageError: there is none of that name.
    """
    found = RECIPIENTS.get(name)
    if found is None:
        raise UsageError(
            f"no recipient is called {name!r}", todo=f"Known are: {', '.join(RECIPIENTS)}"
        )
    return found
