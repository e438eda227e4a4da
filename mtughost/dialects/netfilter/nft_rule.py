"""One rule of nft's text to steps. What is not understood becomes opaque, never nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mtughost.dialects.netfilter.listing import Verdicts
from mtughost.dialects.netfilter.nft_tokens import bare, tokens
from mtughost.dialects.netfilter.nft_vocabulary import (
    BARE_META,
    BIT_KEYS,
    HEADERS,
    MSS,
    NAT,
    OPS,
    OTHER_MATCHES,
    SAFE,
    VERDICTS,
)
from mtughost.dialects.netfilter.steps import (
    Clamp,
    Cond,
    Count,
    Decide,
    Go,
    Note,
    Opaque,
    Step,
    VerdictMap,
)


def read_rule(text: str) -> tuple[Step, ...]:
    """Return what one rule does."""
    return tuple(_RuleReader(tokens(text.rstrip("; "))).steps())


def set_values(found: Sequence[str]) -> tuple[str, ...] | None:
    """Return the values of a set's elements, or ``None`` where one cannot be read."""
    values = [_element(part) for part in _split(found)]
    return None if None in values else tuple(value for value in values if value is not None)


def map_entries(found: Sequence[str]) -> tuple[tuple[str, Verdicts], ...] | None:
    """Return the entries of a verdict map, or ``None`` where one cannot be read."""
    entries: list[tuple[str, Verdicts]] = []
    for part in _split(found):
        if ":" not in part:
            return None
        at = len(part) - 1 - part[::-1].index(":")
        verdicts = tuple(
            s for s in _RuleReader(part[at + 1 :]).steps() if isinstance(s, Decide | Go)
        )
        if not verdicts:
            return None
        value = _element(part[:at])
        entries.append((" ".join(part[:at]) if value is None else value, verdicts))
    return tuple(entries)


def _split(found: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in found:
        if word == ",":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def _element(part: Sequence[str]) -> str | None:
    words = [bare(token) for token in part]
    for extra in ("counter", "timeout", "expires", "comment"):
        if extra in words[1:]:
            words = words[: words.index(extra)]
    if len(words) == 1:
        # nft 1.0.6 prints wildcards in sets as an empty range; "$x" is a variable.
        return None if words[0].startswith("$") or not words[0].strip('"-') else words[0]
    return "".join(words) if "|" in words and "." not in words else None


class _RuleReader:
    def __init__(self, found: Sequence[str]) -> None:
        self._tokens = list(found)
        self._at = 0
        self._steps: list[Step] = []

    def steps(self) -> list[Step]:
        while self._at < len(self._tokens):
            before = self._at
            self._statement(self._tokens[self._at])
            if self._at == before:
                self._unknown(before)
        return self._steps

    # -- moving ---------------------------------------------------------------------------------
    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _take(self) -> str:
        self._at += 1
        return bare(self._tokens[self._at - 1]) if self._at <= len(self._tokens) else ""

    def _text(self, start: int) -> str:
        return " ".join(self._tokens[start : self._at])

    def _to_safe(self) -> None:
        while self._at < len(self._tokens) and self._peek() not in SAFE:
            if self._is_clamp():
                return
            self._at += 1

    def _to_end(self) -> None:
        while self._at < len(self._tokens) and self._peek() != "comment":
            self._at += 1

    def _is_clamp(self) -> bool:
        here = tuple(self._tokens[self._at : self._at + 5])
        return here == (*MSS, "set")

    # -- statements -----------------------------------------------------------------------------
    def _statement(self, word: str) -> None:
        simple = _SIMPLE.get(word)
        if simple is not None:
            simple(self)
        elif word in VERDICTS:
            self._at += 1
            self._steps.append(Decide(VERDICTS[word]))
        elif word in NAT:
            self._to_end()
            self._steps.append(Decide("accept"))
        elif word in BARE_META or word in HEADERS or word in {"meta", "ct"}:
            self._comparison()

    def _comment(self) -> None:
        self._at = len(self._tokens)

    def _reject(self) -> None:
        self._to_end()
        self._steps.append(Decide("drop"))

    def _go(self) -> None:
        word = self._take()
        self._steps.append(Go(self._take(), goto=word == "goto"))

    def _queue(self) -> None:
        start = self._at
        self._to_end()
        self._steps += [Opaque(f"{self._text(start)} (a program decides)"), Decide("accept")]

    def _taken_over(self) -> None:
        start = self._at
        self._to_end()
        text = self._text(start)
        self._steps += [Opaque(text), Note(text), Decide("accept")]

    def _counter(self) -> None:
        self._at += 1
        packets: int | None = None
        if self._peek() == "packets":
            self._at += 1
            number = self._take()
            packets = int(number) if number.isascii() and number.isdigit() else None
            self._at += 2  # bytes N
        elif self._peek() == "name":
            self._at += 2
        self._steps.append(Count(packets))

    def _log(self) -> None:
        self._at += 1
        while self._peek() in {"prefix", "level", "group", "snaplen", "queue-threshold"}:
            self._at += 2
        if self._peek() == "flags":
            start = self._at
            self._to_safe()
            if self._text(start) != "flags all":
                self._steps.append(Opaque(self._text(start)))

    def _limit(self) -> None:
        start = self._at
        self._at += 1
        while self._peek() in {"rate", "over", "name", "burst", "packets", "bytes", "kbytes"} or (
            "/" in self._peek() or self._peek().isdigit() or self._peek().startswith('"')
        ):
            self._at += 1
        self._steps.append(Opaque(self._text(start)))

    def _set_update(self) -> None:
        """``add @set { key timeout 10s }``: remembers something, chooses nothing."""
        self._at += 2
        if self._peek() == "{":
            while self._at < len(self._tokens) and self._take() != "}":
                pass

    def _flow(self) -> None:
        self._at += 3  # flow add @table

    def _dup(self) -> None:
        self._at += 3  # dup to ADDRESS
        if self._peek() == "device":
            self._at += 2

    def _notrack(self) -> None:
        self._at += 1

    def _reset(self) -> None:
        start = self._at
        self._at += 4
        if self._peek(-1) == "maxseg":
            self._steps += [Opaque(self._text(start)), Note(self._text(start))]

    def _unknown(self, start: int) -> None:
        word = self._tokens[start]
        self._at += 1
        self._to_safe()
        text = self._text(start)
        self._steps.append(Opaque(text))
        is_match = word[0] == "@" or word in {*OTHER_MATCHES, *HEADERS, *BARE_META, "meta"}
        if not is_match or "vmap" in self._tokens[start : self._at]:
            self._steps.append(Note(text))

    # -- comparisons ----------------------------------------------------------------------------
    def _comparison(self) -> None:
        start = self._at
        key = self._key()
        follows = self._peek()
        if follows == "set":
            self._assignment(start, key)
        elif follows == "vmap":
            self._verdict_map(start, key)
        elif key is None or follows in {".", "exists", "missing", "<<", ">>", "^", ""}:
            self._at = start
            self._unknown(start)
        else:
            self._condition(start, key)

    def _key(self) -> str | None:
        word = self._take()
        if word == "meta":
            return f"meta {self._take()}"
        if word in BARE_META:
            return f"meta {word}"
        if (word, self._peek()) == ("tcp", "option"):
            parts = [word, self._take(), self._take()]
            if self._peek() not in {"exists", "missing"}:
                parts.append(self._take())
            return " ".join(parts)
        follows = self._take()
        if word == "ct" and follows in {"original", "reply", "count"}:
            return None
        return f"{word} {follows}"

    def _assignment(self, start: int, key: str | None) -> None:
        self._at += 1
        value = self._take()
        if key == " ".join(MSS):
            self._clamp(start, value)
            return
        if self._peek() in {"&", "|", "^", "map", "<<", ">>", "or", "and", "xor", "."} or value in {
            "meta",
            "ct",
            "ip",
            "ip6",
            "tcp",
            "numgen",
            "jhash",
        }:
            begin = self._at
            self._to_safe()
            if self._at - begin > 1:
                self._steps.append(Opaque(self._text(start)))

    def _clamp(self, start: int, value: str) -> None:
        if (value, self._peek()) == ("rt", "mtu"):
            self._at += 1
            self._steps.append(Clamp(None))
        elif value.isascii() and value.isdigit():
            self._steps.append(Clamp(int(value)))
        else:
            self._to_safe()
            self._steps += [Opaque(self._text(start)), Note(self._text(start))]

    def _verdict_map(self, start: int, key: str | None) -> None:
        self._at += 1
        entries: tuple[tuple[str, Verdicts], ...] | None = None
        if self._peek() == "{":
            entries = map_entries(self._braces())
        elif self._peek().startswith("@"):
            entries = ((self._take(), ()),)
        self._steps.append(
            VerdictMap(key=key or "unknown", entries=entries, text=self._text(start))
        )

    def _braces(self) -> list[str]:
        self._at += 1
        inside: list[str] = []
        depth = 1
        while self._at < len(self._tokens):
            word = self._tokens[self._at]
            self._at += 1
            depth += (word == "{") - (word == "}")
            if not depth:
                break
            inside.append(word)
        return inside

    def _condition(self, start: int, key: str) -> None:
        mask = None
        if self._peek() in {"&", "and"}:
            self._at += 1
            mask = self._bits()
        has_op = self._peek() in OPS
        op = OPS[self._take()] if has_op else "=="
        values = self._values(key)
        if self._peek() == "/":
            self._at += 1
            mask = self._bits()
        elif not has_op and mask is None and key in BIT_KEYS and not self._was_set:
            op = "any"
        self._steps.append(Cond(key=key, op=op, values=values, mask=mask, text=self._text(start)))

    _was_set = False

    def _bits(self) -> str:
        """``syn,rst`` or ``(syn | rst)`` as ``syn|rst``."""
        if self._peek() == "(":
            self._at += 1
            words: list[str] = []
            while self._peek() not in {")", ""}:
                words.append(self._take())
            self._at += 1
            return "".join(words)
        words = [self._take()]
        while self._peek() in {",", "|"}:
            self._at += 1
            words.append(self._take())
        return "|".join(words)

    def _values(self, key: str) -> tuple[str, ...] | None:
        self._was_set = self._peek() == "{"
        if self._was_set:
            return set_values(self._braces())
        if self._peek() == "(":
            return (self._bits(),)
        if key == "tcp flags":
            return (self._bits(),)
        value = self._take()
        found = [value]
        while self._peek() == ",":
            self._at += 1
            found.append(self._take())
        is_variable = any(not item or item.startswith("$") for item in found)
        return None if is_variable else tuple(found)


_SIMPLE: Mapping[str, Callable[[_RuleReader], None]] = {
    "comment": _RuleReader._comment,  # noqa: SLF001 - the reader's own table
    "reject": _RuleReader._reject,  # noqa: SLF001
    "jump": _RuleReader._go,  # noqa: SLF001
    "goto": _RuleReader._go,  # noqa: SLF001
    "queue": _RuleReader._queue,  # noqa: SLF001
    "tproxy": _RuleReader._taken_over,  # noqa: SLF001
    "synproxy": _RuleReader._taken_over,  # noqa: SLF001
    "fwd": _RuleReader._queue,  # noqa: SLF001
    "counter": _RuleReader._counter,  # noqa: SLF001
    "log": _RuleReader._log,  # noqa: SLF001
    "limit": _RuleReader._limit,  # noqa: SLF001
    "add": _RuleReader._set_update,  # noqa: SLF001
    "update": _RuleReader._set_update,  # noqa: SLF001
    "delete": _RuleReader._set_update,  # noqa: SLF001
    "dup": _RuleReader._dup,  # noqa: SLF001
    "flow": _RuleReader._flow,  # noqa: SLF001
    "notrack": _RuleReader._notrack,  # noqa: SLF001
    "reset": _RuleReader._reset,  # noqa: SLF001
}
