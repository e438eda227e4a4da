"""``init``, ``trust``, ``enroll``, ``inventory check`` and ``import``: before the first audit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtughost.cli.context import globals_of
from mtughost.model.errors import InventoryError, UsageError

if TYPE_CHECKING:
    from mtughost.app.importing import ImportPlan
    from mtughost.cli.context import Globals

_inventory = typer.Typer(
    help="Check the inventory; fill it.", no_args_is_help=True, rich_markup_mode=None
)


@_inventory.callback()
def _options() -> None:
    """Check the inventory; fill it from where it already lives."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(init)
    app.command()(trust)
    app.command()(enroll)
    _inventory.command("check")(inventory_check)
    _inventory.command("import")(inventory_import)
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


class Source(StrEnum):
    """Where an inventory can come from."""

    csv = "csv"
    ansible = "ansible"
    ssh_config = "ssh-config"
    netbox = "netbox"


def inventory_import(  # noqa: PLR0913  # one argument per option is how typer works
    context: typer.Context,
    kind: Annotated[Source, typer.Argument(help="What the source is.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A file; with ansible, any inventory that its program reads; NetBox's address."
        ),
    ],
    *,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="Take FIELD from COLUMN."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="VALUE where a row has none."),
    ] = None,
    translate: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD:WORD=OURS", help="Write OURS where the source says WORD."),
    ] = None,
    token: Annotated[
        str,
        typer.Option(help="NetBox's API token by reference (env:NAME, file:PATH, keyring:S/U)."),
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER=VALUE", help="Ask NetBox for these devices only."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the diff of hosts.yaml, write nothing.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Take the good rows although others are wrong.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop hosts that the source does not name.")
    ] = False,
) -> int:
    """Bring hosts into hosts.yaml: new ones are added, known ones take the new values."""
    from mtughost.app.importing import ImportRequest, plan_import  # noqa: PLC0415
    from mtughost.fleet.importing.hosts import ColumnMap  # noqa: PLC0415

    shared = globals_of(context)
    words: dict[str, dict[str, str]] = {}
    for name, ours in _pairs("--translate", translate).items():
        field, colon, word = name.partition(":")
        if not colon:
            raise UsageError(f"--translate {name}={ours}: expected FIELD:WORD=OURS")
        words.setdefault(field, {})[word] = ours
    mapping = ColumnMap(
        columns=_pairs("--map", map_), constants=_pairs("--set", set_), translations=words
    )
    request = ImportRequest(
        kind=kind.value,
        source=source,
        mapping=mapping,
        keep_going=keep_going,
        prune=prune,
        token=token,
        filters=_pairs("--only", only),
    )
    plan = plan_import(shared.open_project(), request)
    if dry_run:
        shared.out.print(plan.diff(), markup=False, soft_wrap=True, end="")
    else:
        plan.write()
    _tell_import(shared, plan, dry_run=dry_run)
    return InventoryError.exit_code if plan.problems else 0


def _tell_import(shared: Globals, plan: ImportPlan, *, dry_run: bool) -> None:
    for line in (*map(str, plan.problems), *plan.notes):
        shared.log.print(line, markup=False, soft_wrap=True)
    did = "would be" if dry_run else "were"
    shared.out.print(
        f"{plan.path}: {len(plan.added)} hosts {did} added, {len(plan.changed)} {did} changed, "
        f"{len(plan.dropped)} {did} dropped, {plan.unchanged} say the same already, "
        f"{len(plan.problems)} problems",
        markup=False,
        soft_wrap=True,
    )


def _pairs(option: str, items: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"{option} {item}: expected NAME=VALUE")
        found[name] = value
    return found
