"""Text and JSON for somebody else's eyes: no secrets, stand-ins for identifiers.

Secrets always go. Identifiers are replaced unless the recipient's profile keeps their kind: an ISP
needs its circuit and the WAN address, or it cannot act. Nothing is replaced silently: every kind
is counted, and what looks like a secret without being known as one is reported, so that a person
decides before anything leaves.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mtughost.evidence.pseudonyms import Pseudonyms
from mtughost.evidence.secret_finder import find_secrets, squeeze
from mtughost.evidence.variants import pattern_of, worth_following

#: What stands where a secret stood. It keeps quotes and line structure readable for parsers.
SECRET_MARK: Final = "SECRET-REMOVED"  # noqa: S105 - what is left of one
_CERTIFICATE: Final = re.compile(
    r"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.*?(?:-----END \1-----|\Z)", re.DOTALL
)
_MAC: Final = re.compile(
    r"(?<![0-9A-Fa-f:.-])(?:"
    r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}"
    r"|[0-9A-Fa-f]{4}(?:[.:][0-9A-Fa-f]{4}){2})(?![0-9A-Fa-f:]|[.-][0-9A-Fa-f])"
)
_IPV4: Final = re.compile(
    r"(?<![\w.])(?P<ip>\d{1,3}(?:\.\d{1,3}){3})(?![\w]|\.\d)"
    r"(?:(?P<slash>/)(?P<len>\d{1,2})(?!\d)|(?P<gap>[ \t]+(?:netmask[ \t]+)?)"
    r"(?P<mask>(?:255|254|252|248|240|224|192|128)(?:\.\d{1,3}){3})(?![\w.])"
    r"|(?P<json>\",\s*\"len\":\s*)(?P<jlen>\d{1,2}))?"
)
_IPV6: Final = re.compile(
    r"(?<![\w:.])(?P<ip>(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?)"
    r"(?![\w:])(?:/(?P<len>\d{1,3})(?!\d)|(?P<json>\",\s*\"len\":\s*)(?P<jlen>\d{1,3}))?"
)
#: Whatever cut or joined a secret: white space, and what indents a wrapped value.
_ANY_BREAK: Final = re.compile(r"\s+|\x1b\[[0-?]*[ -/]*[@-~]|\\\n|[\x00\x08]")
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_-]{20,}")
_ODD_BITS_PER_CHAR: Final = 3.6
_HEX: Final = re.compile(r"[0-9a-f]{32,}|[0-9A-F]{32,}")
_SHORTEST_NAME: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """An identifier known from inventory or facts.

    Attributes:
        kind: ``site``, ``host``, ``serial``, ``circuit``, ``contact``, ``ssid``, ``fqdn`` ...
    """

    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Something that may be a secret and that nobody has looked at yet.

    Attributes:
        where: Member of the bundle.
        shown: Its first letters; never the whole.
        digest: First 16 hexadecimal digits of its SHA-256: how to say "looked at, harmless".
    """

    where: str
    line: int
    shown: str
    digest: str


@dataclass(slots=True)
class Redactor:
    """Redacts all members of one bundle with one key.

    Attributes:
        stand_ins: Made with the bundle's key.
        keep: Kinds that stay real: ``address`` for all, ``wan`` for those in ``kept_values``...
        names: Identifiers to replace wherever they stand.
        kept_values: Exact values that stay real whatever their kind, such as the service's address.
        harmless: Digests that somebody has looked at.
        counts: What was replaced, by kind.
    """

    stand_ins: Pseudonyms
    keep: frozenset[str] = frozenset()
    names: tuple[Name, ...] = ()
    kept_values: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)
    suspicions: list[Suspicion] = field(default_factory=list)
    _secrets: set[str] = field(default_factory=set)
    _secret_pattern: re.Pattern[str] | None = None
    _name_pattern: re.Pattern[str] | None = None
    _stand_in_of: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Prepare one pattern for all names, longest first."""
        for name in self.names:
            if name.kind not in self.keep and len(name.value) >= _SHORTEST_NAME:
                new = self.stand_ins.word(name.kind, name.value)
                self._stand_in_of.setdefault(name.value, (name.kind, new))
        ordered = sorted(self._stand_in_of, key=lambda text: (-len(text), text))
        if ordered:
            inner = "|".join(map(re.escape, ordered))
            self._name_pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{inner})(?![A-Za-z0-9])")

    def learn(self, texts: Iterable[str], *, own_secrets: Iterable[str] = ()) -> None:
        """Find secrets in all texts first, so that one found here is removed there too.

        Args:
            texts: Every text that will go into the bundle.
            own_secrets: Secrets that the run itself used; removed whatever they look like.
        """
        for text in texts:
            for span in find_secrets(text):
                value = span.value.strip()
                # "session=..." in a cookie: what stands behind the name is the secret.
                parts = {value, value.partition("=")[2], value.partition("\n")[0]}
                self._secrets |= {part for part in parts if worth_following(part)}
        self._secrets |= {secret for secret in own_secrets if secret}
        self._secret_pattern = pattern_of(self._secrets)

    def text(self, text: str, *, where: str) -> str:
        """Return ``text`` without secrets and with stand-ins.

        Args:
            text: Anything a device said.
            where: Name of the member, for suspicions.
        """
        out = self._without_secrets(text)
        out = _CERTIFICATE.sub(self._certificate, out)
        out = self._with_names(out)
        out = self._with_addresses(out)
        self._suspect(out, where)
        return out

    def value(self, value: object, *, where: str) -> object:
        """Return a JSON value with every text in it redacted; keys are ours and stay."""
        if isinstance(value, str):
            whole = self._stand_in_of.get(value)
            if whole is not None:
                self.counts[whole[0]] += 1
                return whole[1]
            return self.text(value, where=where)
        if isinstance(value, Mapping):
            return {key: self.value(inner, where=where) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(inner, where=where) for inner in value]
        return value

    def leftover(self, text: str) -> bool:
        """Return whether a known secret still stands in ``text``, in any encoding."""
        return self._secret_pattern is not None and bool(
            self._secret_pattern.search(text)
            or self._secret_pattern.search(squeeze(text, _ANY_BREAK).text)
        )

    def _without_secrets(self, text: str) -> str:
        spans = [(span.start, span.end) for span in find_secrets(text)]
        if self._secret_pattern is not None:
            squeezed = squeeze(text, _ANY_BREAK)
            spans += [
                squeezed.back(*found.span())
                for found in self._secret_pattern.finditer(squeezed.text)
            ]
            # A secret that holds blanks itself is only found in the text as it stands.
            spans += [found.span() for found in self._secret_pattern.finditer(text)]
        return self._marked(text, spans)

    def _marked(self, text: str, spans: list[tuple[int, int]]) -> str:
        out: list[str] = []
        last = 0
        for start, end in sorted(spans):
            if end <= last:
                continue
            if start >= last:
                out += [text[last:start], SECRET_MARK]
                self.counts["secret"] += 1
            # Line ends inside stay, so that line numbers go on meaning the same.
            out.append("\n" * text.count("\n", max(start, last), end))
            last = end
        out.append(text[last:])
        return "".join(out)

    def _certificate(self, found: re.Match[str]) -> str:
        self.counts["certificate"] += 1
        digest = hashlib.sha256("".join(found[0].split()).encode()).hexdigest()[:16]
        lines = "\n" * found[0].count("\n")
        return f"(certificate removed, its text's SHA-256 begins with {digest}){lines}"

    def _with_names(self, text: str) -> str:
        if self._name_pattern is None:
            return text

        def stand_in(found: re.Match[str]) -> str:
            kind, new = self._stand_in_of[found[0]]
            self.counts[kind] += 1
            return new

        return self._name_pattern.sub(stand_in, text)

    def _with_addresses(self, text: str) -> str:
        if "mac" not in self.keep:
            text = _MAC.sub(self._mac, text)
        if "address" not in self.keep:
            text = _IPV4.sub(self._address, text)
            text = _IPV6.sub(self._address, text)
        return text

    def _mac(self, found: re.Match[str]) -> str:
        new = self.stand_ins.mac(found[0])
        self.counts["mac"] += new != found[0]
        return new

    def _address(self, found: re.Match[str]) -> str:
        if found["ip"] in self.kept_values:
            return found[0]
        groups = found.groupdict()
        length = groups.get("len") or groups.get("jlen") or _mask_length(groups.get("mask"))
        try:
            if length and self._holds_a_kept_one(f"{found['ip']}/{length}"):
                return found[0]  # else the route to it would lead elsewhere
            if length:
                new = self.stand_ins.network(f"{found['ip']}/{length}").partition("/")[0]
            else:
                new = str(self.stand_ins.address(ipaddress.ip_address(found["ip"])))
        except ValueError:
            return found[0]  # four numbers with dots, but no address
        self.counts["address"] += new != found["ip"]
        return new + found[0][len(found["ip"]) :]

    def _holds_a_kept_one(self, text: str) -> bool:
        network = ipaddress.ip_interface(text).network
        return any(ipaddress.ip_address(kept) in network for kept in self.kept_values)

    def _suspect(self, text: str, where: str) -> None:
        for number, line in enumerate(text.split("\n"), start=1):
            for found in _TOKEN.finditer(line):
                token = found[0].strip("-=_/")
                digest = hashlib.sha256(token.encode()).hexdigest()[:16]
                if digest not in self.harmless and _is_odd(token):
                    self.suspicions.append(
                        Suspicion(where=where, line=number, shown=token[:4] + "...", digest=digest)
                    )


def _mask_length(mask: str | None) -> str | None:
    if mask is None:
        return None
    try:
        return str(ipaddress.IPv4Network(f"0.0.0.0/{mask}").prefixlen)
    except ValueError:
        return None


def _is_odd(token: str) -> bool:
    """Return whether a token is too random for a word, a path or a counter."""
    if _HEX.fullmatch(token):
        return len(set(token)) > 8  # noqa: PLR2004 - half of the sixteen digits
    if "/" in token and not (set(token) & set("+=")) and token.count("/") > 1:
        return False  # a path
    kinds = sum(
        any(test(char) for char in token) for test in (str.islower, str.isupper, str.isdigit)
    )
    return kinds == 3 and _bits_per_char(token) >= _ODD_BITS_PER_CHAR  # noqa: PLR2004


def _bits_per_char(token: str) -> float:
    counts = Counter(token)
    return -sum(n / len(token) * math.log2(n / len(token)) for n in counts.values())
