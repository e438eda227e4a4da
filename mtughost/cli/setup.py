"""``init``, ``trust``, ``enroll`` and ``inventory check``: before the first audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtughost.cli.context import globals_of

_inventory = typer.Typer(help="Check the inventory.", no_args_is_help=True, rich_markup_mode=None)


@_inventory.callback()
def _options() -> None:
    """Check the inventory."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(init)
    app.command()(trust)
    app.command()(enroll)
    _inventory.command("check")(inventory_check)
    app.add_typer(_inventory, name="inventory")


def init(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Where the project shall be.")],
) -> int:
    """Make a project directory of your own, with a copy of the shipped content."""
    from mtughost.app.project import init_project  # noqa: PLC0415  # keeps --help fast

    shared = globals_of(context)
    for path in init_project(directory):
        shared.say(f"made {path}")
    return 0


def trust(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="A project directory.")] = Path(),
) -> int:
    """Let a directory count as the project when you stand in it."""
    from mtughost.app.project import trust_project  # noqa: PLC0415

    trust_project(directory)
    globals_of(context).say(f"trusted {directory.resolve()}")
    return 0


def enroll(
    context: typer.Context,
    hosts: Annotated[
        list[str] | None, typer.Argument(help="Inventory names; all when none.")
    ] = None,
    *,
    trusted: Annotated[
        Path | None, typer.Option(help="File in known_hosts format that vouches for keys, in bulk.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Record what answers without asking: look first.")
    ] = False,
) -> int:
    """Show host-key fingerprints and record them. Nobody is logged in to."""
    from mtughost.app.enroll import Offer, enroll_hosts  # noqa: PLC0415

    shared = globals_of(context)

    def decide(offer: Offer) -> bool:
        shared.out.print(str(offer), markup=False, soft_wrap=True)
        if offer.state != "new":
            return False
        return yes or (trusted is None and typer.confirm("Record this key?", default=False))

    summary = enroll_hosts(
        shared.open_project(), tuple(hosts or ()), trusted=trusted, decide=decide
    )
    shared.out.print(str(summary), markup=False)
    return 0 if summary.complete else 4


def inventory_check(context: typer.Context) -> int:
    """Read the inventory and every task book that it names, and say what is wrong."""
    from mtughost.app.inventory import check_inventory  # noqa: PLC0415

    shared = globals_of(context)
    for line in check_inventory(shared.open_project()):
        shared.out.print(line, markup=False, soft_wrap=True)
    return 0
