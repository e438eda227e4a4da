"""Check an inventory with everything that it names, before anything is sent."""

from __future__ import annotations

from mtughost.app.project import Project
from mtughost.content.load import load_book
from mtughost.fleet.inventory import Inventory, load_inventory
from mtughost.fleet.problems import some


def open_inventory(project: Project) -> Inventory:
    """Read the project's whole inventory against the platforms that have task books.

    Raises:
        InventoryError: everything that is wrong with it.
    """
    return load_inventory(project.inventory_dir, known_platforms=project.content.platforms())


def check_inventory(project: Project) -> list[str]:
    """Read the inventory and its task books; return what is allowed but should be looked at.

    Raises:
        InventoryError: everything that is wrong with the inventory.
        ContentError: a task book is wrong.
    """
    inventory = open_inventory(project)
    platforms = sorted({device.platform for device in inventory.devices})
    unreadable: list[str] = []
    for platform in platforms:
        book = load_book(project.content, platform)
        if not book.has_command_line:
            names = [d.name for d in inventory.devices if d.platform == platform]
            unreadable.append(
                f"{some(names)}: {book.title} has no SSH command line. {book.instead}"
            )
    summary = (
        f"{inventory.directory}: {len(inventory.sites)} sites, {len(inventory.devices)} devices, "
        f"platforms {', '.join(platforms)}: good"
    )
    return [*inventory.warnings, *unreadable, summary]
