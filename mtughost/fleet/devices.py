"""One host's layers to a frozen :class:`~mtughost.model.inventory.Device`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mtughost.fleet.problems import Problems, some, suggest
from mtughost.fleet.resolve import Found, Layers
from mtughost.fleet.schema import ServiceEntry
from mtughost.fleet.text import is_reference
from mtughost.model.inventory import Credential, Device, Role, Service

DEFAULT_PORT = 22


@dataclass(slots=True)
class DeviceMaker:
    """Makes devices and notes what is missing or cannot be.

    Attributes:
        base: Relative key files and password files start here.
        known_platforms: Task books that exist; ``None`` leaves platforms unchecked.
        problems: Where everything that is wrong goes.
    """

    base: Path
    known_platforms: Collection[str] | None
    problems: Problems
    _warned: dict[str, None] = field(default_factory=dict)
    _literals: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    _services: dict[int, tuple[Service, ...]] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be looked at, each once, in order."""
        return tuple(self._warned)

    def make(self, layers: Layers) -> Device | None:
        """Make one device, or note why it cannot be made and return ``None``."""
        role = self._role(layers)
        address = self._text(layers.attribute("hostname"), layers, "the address to log in to")
        platform = self._platform(layers, role)
        site = _text(layers.data("site"))
        if role != "jump":
            site = self._text(layers.data("site"), layers, "the store that the device stands in")
        credential = self._credential(layers)
        if role is None or not address or credential is None or platform is None:
            return None
        if role != "jump" and not site:
            return None
        return Device(
            name=layers.host,
            address=address,
            port=_number(layers.attribute("port"), DEFAULT_PORT),
            platform=platform,
            site=site,
            role=role,
            credential=credential,
            jump=_text(layers.data("jump")),
            services=self._services_of(layers, role),
            wan=_texts(layers.data("wan")),
            ap_vlan=_text(layers.data("ap_vlan")),
            ha_peer=_text(layers.data("ha_peer")),
            vdom=_text(layers.data("vdom")),
            managed_by=_text(layers.data("managed_by")),
            region=_text(layers.data("region")),
            lab=_lab(layers.data("lab")),
        )

    def _text(self, found: Found, layers: Layers, what: str) -> str:
        value = _text(found)
        if not value:
            self.problems.add(
                layers.place,
                found.key,
                f"is missing: expected {what}, in the host, one of its groups or the defaults",
            )
        return value

    def _role(self, layers: Layers) -> Role | None:
        found = layers.data("role")
        if self._text(found, layers, "ap, gateway, appliance or jump"):
            role: Role = found.value  # type: ignore[assignment]  # checked by the schema
            return role
        return None

    def _platform(self, layers: Layers, role: Role | None) -> str | None:
        found = layers.attribute("platform")
        if found.value is None and role == "jump":
            return "linux"
        platform = self._text(found, layers, "the name of a task book")
        known = self.known_platforms
        if platform and known is not None and platform not in known:
            self.problems.add(
                found.place,
                found.key,
                f"no task book is called {platform}",
                suggest(platform, known) + f"Known platforms: {some(sorted(known), 40)}",
            )
            return None
        return platform or None

    def _services_of(self, layers: Layers, role: Role) -> tuple[Service, ...]:
        found = layers.data("services")
        entries = found.value if isinstance(found.value, list) else []
        if role not in {"ap", "appliance"}:
            return ()
        if not entries:
            self._warn(found, layers.host, "no services: nothing is known that should work")
        known = self._services.get(id(entries))
        if known is None:
            known = self._services[id(entries)] = self._make_services(found, entries)
        return known

    def _make_services(self, found: Found, entries: list[ServiceEntry]) -> tuple[Service, ...]:
        names: set[str] = set()
        for index, entry in enumerate(entries):
            if entry.name in names:
                self.problems.add(
                    found.place,
                    (*found.key, index, "name"),
                    f"a second service is called {entry.name}",
                )
            names.add(entry.name)
        return tuple(Service(name=e.name, host=e.host, port=e.port, tls=e.tls) for e in entries)

    def _credential(self, layers: Layers) -> Credential | None:
        username = self._text(layers.attribute("username"), layers, "the name to log in with")
        password = self._password(layers)
        key_file = _text(layers.data("key_file"))
        agent = layers.data("use_agent").value is True
        enable = _text(layers.data("enable_ref"))
        if not (password or key_file or agent):
            self.problems.add(
                layers.place,
                ("data", "key_file"),
                "has no way to log in: expected data.key_file, data.use_agent: true, "
                "data.password_ref or password",
            )
        if not username or not (password or key_file or agent):
            return None
        ways = [
            "agent" if agent else "",
            f"key:{key_file}" if key_file else "",
            self._realm_word(username, password),
            f"enable:{enable}" if enable else "",
        ]
        return Credential(
            realm="+".join([username, *filter(None, ways)]),
            username=username,
            password_ref=self._absolute_reference(password),
            key_file=str(self._absolute(key_file)) if key_file else "",
            use_agent=agent,
            enable_ref=self._absolute_reference(enable),
        )

    def _password(self, layers: Layers) -> str:
        """Choose between Nornir's ``password`` and ``data.password_ref``: the nearer one wins."""
        literal, reference = layers.attribute("password"), layers.data("password_ref")
        if literal.value and reference.value and literal.level == reference.level:
            self.problems.add(
                literal.place,
                literal.key,
                "expected either password or data.password_ref, not both",
            )
        chosen = literal if literal.value and literal.level <= reference.level else reference
        password = _text(chosen)
        if password and not is_reference(password):
            self._warn(
                chosen,
                chosen.place.owner or "defaults",
                "a password stands here as plain text: "
                "use env:NAME, keyring:SERVICE/USER or file:PATH instead",
            )
        return password

    def _realm_word(self, username: str, password: str) -> str:
        """Name a literal password without saying anything about it."""
        if not password or is_reference(password):
            return password
        return self._literals.setdefault((username, password), f"literal-{len(self._literals) + 1}")

    def _absolute(self, path: str) -> Path:
        return self.base / Path(path).expanduser()

    def _absolute_reference(self, password: str) -> str:
        if is_reference(password) and password.startswith("file:"):
            return f"file:{self._absolute(password.removeprefix('file:'))}"
        return password

    def _warn(self, found: Found, owner: str, words: str) -> None:
        self._warned[f"{found.place.path}:{found.place.line(found.key)}: {owner}: {words}"] = None


def _text(found: Found) -> str:
    return found.value if isinstance(found.value, str) else ""


def _number(found: Found, default: int) -> int:
    return found.value if isinstance(found.value, int) else default


def _texts(found: Found) -> tuple[str, ...]:
    return tuple(found.value) if isinstance(found.value, list) else ()


def _lab(found: Found) -> Literal["", "foundry", "virtual"]:
    lab: Literal["", "foundry", "virtual"] = found.value or ""  # type: ignore[assignment]
    return lab
