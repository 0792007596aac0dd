"""Filters and orders of lists, read as AIP-160 and AIP-132 have them; what they mean is the caller's.

`display_name="x" AND (labels.team=a OR NOT labels.team:*)`. Fields may be written in camelCase. As AIP-160
has it, OR binds closer than AND, and two comparisons side by side are joined by AND. `:` compares with a
pattern whose `*` stands for anything; of labels, `labels.k:*` and `labels:k` ask whether there is one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast

from trivet.core.errors import InvalidArgument

Kind = Literal["text", "time", "flag", "labels"]
Op = Literal["=", "!=", "<", "<=", ">", ">=", ":"]

MAX_LENGTH = 10_000
MAX_COMPARISONS = 100  # databases bound the depth of an expression
MAX_DEPTH = 50

_OPS: Mapping[Kind, tuple[Op, ...]] = {
    "text": ("=", "!=", "<", "<=", ">", ">=", ":"),
    "time": ("=", "!=", "<", "<=", ">", ">="),
    "flag": ("=", "!="),
    "labels": ("=", "!=", ":"),
}
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"(AND|OR|NOT)(?![\w.=!<>:-])")
_FIELD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_KEY = re.compile(r"[\w-]+")
_OP = re.compile(r"!=|<=|>=|=|<|>|:")
_BARE = re.compile(r"[^\s()\"'<>=!,]+")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_DIRECTION = re.compile(r"(?:asc|desc)(?![\w.-])")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field against a value. Of labels, `key` is which; a label that is not there compares as false."""

    field: str
    op: Op
    value: str | datetime | bool
    key: str = ""


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold; with none, everything does."""

    parts: "tuple[Expression, ...]" = ()


@dataclass(frozen=True, slots=True)
class Or:
    """One of the parts holds."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Expression"


Expression: TypeAlias = Comparison | And | Or | Not


@dataclass(frozen=True, slots=True)
class Order:
    """A field to sort by."""

    field: str
    descending: bool = False


def parse_filter(text: str, fields: Mapping[str, Kind]) -> Expression:
    """Read a filter over these fields (in snake_case); an empty one is `And()`.

    Raises InvalidArgument, with the position and what was expected there.
    """
    return _Reader("filter", text, fields).filter()


def parse_order(text: str, fields: Mapping[str, Kind]) -> tuple[Order, ...]:
    """Read an order such as `create_time desc, display_name`; raises InvalidArgument as parse_filter does."""
    return _Reader("orderBy", text, {name: kind for name, kind in fields.items() if kind != "labels"}).order()


class _Reader:
    """A text, how far it has been read, and the fields that it may speak of."""

    def __init__(self, what: str, text: str, fields: Mapping[str, Kind]) -> None:
        self.what, self.text, self.fields = what, text, fields
        self.at = self.depth = self.comparisons = 0
        if len(text) > MAX_LENGTH:
            raise InvalidArgument(f"{what}: {len(text)} characters; at most {MAX_LENGTH} are read")
        if bad := _UNSTORABLE.search(text):
            raise self.error("no such character in a text", at=bad.start())
        self.skip()

    def error(self, message: str, at: int | None = None) -> InvalidArgument:
        at = self.at if at is None else at
        rest = repr(self.text[at : at + 20]) if at < len(self.text) else "its end"
        return InvalidArgument(f"{self.what}, position {at + 1}, at {rest}: {message}")

    def skip(self) -> None:
        self.at = cast(re.Match[str], _SPACE.match(self.text, self.at)).end()

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read what fits here, and the space after it."""
        if match := pattern.match(self.text, self.at):
            self.at = match.end()
            self.skip()
        return match

    def word(self, word: str) -> bool:
        """Read one of AND, OR, NOT, or a sign, if it stands here."""
        if word.isalpha():
            match = _WORD.match(self.text, self.at)
            found = match is not None and match[1] == word
        else:
            found = self.text.startswith(word, self.at)
        if found:
            self.at += len(word)
            self.skip()
        return found

    def filter(self) -> Expression:
        if self.at == len(self.text):
            return And()
        found = self.conjunction()
        if self.at < len(self.text):
            raise self.error("expected AND, OR, a comparison or the end")
        return found

    def conjunction(self) -> Expression:
        parts = [self.disjunction()]
        while self.word("AND") or self.text[self.at : self.at + 1] not in ("", ")"):
            parts.append(self.disjunction())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def disjunction(self) -> Expression:
        parts = [self.term()]
        while self.word("OR"):
            parts.append(self.term())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def term(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"nested more than {MAX_DEPTH} deep")
        found: Expression
        if self.word("NOT") or self.word("-"):
            found = Not(self.term())
        elif self.word("("):
            found = self.conjunction()
            if not self.word(")"):
                raise self.error("expected ), AND or OR")
        else:
            found = self.comparison()
        self.depth -= 1
        return found

    def comparison(self) -> Comparison:
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            raise self.error(f"more than {MAX_COMPARISONS} comparisons")
        field = self.field()
        kind = self.fields[field]
        key = self.label(field) if kind == "labels" and self.word(".") else ""
        start = self.at
        match = self.take(_OP)
        if match is None or match[0] not in _OPS[kind]:
            raise self.error(f"expected one of {' '.join(_OPS[kind])} after {field}", at=start)
        op = match[0]
        if kind == "labels" and not key:
            if op != ":":
                raise self.error(f"expected a key first: {field}.KEY{op}", at=start)
            return Comparison(field, ":", "*", self.label(field))
        return Comparison(field, op, self.value(field, kind), key)

    def field(self) -> str:
        start = self.at
        match = None if _WORD.match(self.text, start) else self.take(_FIELD)
        known = ", ".join(sorted(self.fields))
        if match is None:
            raise self.error(f"expected a field, one of {known}", at=start)
        field = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", match[0]).lower()
        if field not in self.fields:
            hint = f"; did you mean {field.upper()}?" if field in ("and", "or", "not") else ""
            raise self.error(f"unknown field {match[0]!r}{hint}; known are {known}", at=start)
        return field

    def label(self, field: str) -> str:
        start = self.at
        if self.text[start : start + 1] in ('"', "'"):
            key = self.quoted()
            if '"' in key or "\\" in key:
                raise self.error(f"a key of {field} has no quotes or backslashes", at=start)
            return key
        if match := self.take(_KEY):
            return match[0]
        raise self.error(f"expected a key of {field}")

    def quoted(self) -> str:
        start = self.at
        match = self.take(_QUOTED)
        if match is None:
            raise self.error("this quote is not closed", at=start)
        return re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2], flags=re.DOTALL)

    def value(self, field: str, kind: Kind) -> str | datetime | bool:
        start = self.at
        if self.text[start : start + 1] in ('"', "'"):
            text = self.quoted()
        elif match := self.take(_BARE):
            text = match[0]
        else:
            raise self.error(f"expected a value for {field}")
        if kind == "flag":
            if text not in ("true", "false"):
                raise self.error(f"expected true or false for {field}", at=start)
            return text == "true"
        if kind == "time":
            return self.time(text, field, start)
        return text

    def time(self, text: str, field: str, start: int) -> datetime:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise self.error(f"expected a time like 2026-01-31T08:30:00Z for {field}", at=start) from None
        return when if when.tzinfo else when.replace(tzinfo=UTC)

    def order(self) -> tuple[Order, ...]:
        found: dict[str, Order] = {}
        while self.at < len(self.text):
            start = self.at
            field = self.field()
            if field in found:
                raise self.error(f"{field} is there twice", at=start)
            match = self.take(_DIRECTION)
            found[field] = Order(field, match is not None and match[0] == "desc")
            if self.at < len(self.text):
                if not self.word(","):
                    raise self.error("expected asc, desc, a comma or the end")
                if self.at == len(self.text):
                    raise self.error("expected a field after the comma")
        return tuple(found.values())
