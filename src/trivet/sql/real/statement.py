"""Finds CREATE MODEL in a text, and changes no more of it than where the model is.

The text is looked at by its tokens alone: what BigQuery understands need not be what Trivet can parse, such
as scripts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from trivet.sql.dialect import BigQueryML

OURS = ("output", "scalar_outputs", "instance_type", "input_label_cols")
"""Options of CREATE MODEL that BigQuery does not have for imported models."""

_STRINGS = (TokenType.STRING, TokenType.RAW_STRING)
_OPEN = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSED = (TokenType.R_PAREN, TokenType.R_BRACKET)


@dataclass(frozen=True, slots=True)
class Setting:
    """One of OPTIONS(..): its value where that is a string, and where in the text what stands.

    `value` spans the value, `whole` the setting with the comma that parts it from the others.
    """

    name: str
    text: str | None
    value: tuple[int, int]
    whole: tuple[int, int]
    at: str


@dataclass(frozen=True, slots=True)
class CreateModel:
    """A CREATE MODEL in a text; `clauses` are the words INPUT, OUTPUT and REMOTE as far as they are there."""

    name: str
    at: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    clauses: frozenset[str] = frozenset()

    def text(self, name: str) -> str:
        """Return a setting that is a string; "" where it is not given, or is something else."""
        given = self.settings.get(name)
        return (given.text or "") if given is not None else ""

    def place(self, name: str) -> str:
        """Return where a setting stands, ` at [1:8]`, or else the statement."""
        given = self.settings.get(name)
        return given.at if given is not None else self.at


def create_models(text: str) -> list[CreateModel]:
    """Return the CREATE MODEL statements of a text; none where it cannot be cut into words."""
    try:
        tokens = BigQueryML().tokenize(text)
    except SqlglotError:  # BigQuery will say what is wrong with it
        return []
    found = []
    for statement in _statements(tokens):
        words = [one.text.upper() for one in statement[:4]]
        if words[:2] == ["CREATE", "MODEL"]:
            found.append(_read(statement, 2))
        elif words == ["CREATE", "OR", "REPLACE", "MODEL"]:
            found.append(_read(statement, 4))
    return found


def changed(text: str, changes: Mapping[tuple[int, int], str]) -> str:
    """Return a text with other words in these places, which do not overlap."""
    for (start, stop), new in sorted(changes.items(), reverse=True):
        text = text[:start] + new + text[stop:]
    return text


def literal(value: str) -> str:
    """Return a string as GoogleSQL writes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _statements(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    statement: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            yield statement
            statement = []
        elif token.token_type == TokenType.BEGIN and not statement:
            continue
        else:
            statement.append(token)
    yield statement


def _read(tokens: Sequence[Token], start: int) -> CreateModel:
    if [one.text.upper() for one in tokens[start : start + 3]] == ["IF", "NOT", "EXISTS"]:
        start += 3
    name = ""
    clauses = set()
    settings: dict[str, Setting] = {}
    depth = 0
    for index in range(start, len(tokens)):
        token = tokens[index]
        word = token.text.upper()
        if depth == 0 and word in ("INPUT", "OUTPUT", "REMOTE", "TRANSFORM"):
            clauses.add(word)
        if depth == 0 and word == "OPTIONS":
            settings = {one.name: one for one in _settings(tokens[index + 2 :])}
        if (
            depth == 0
            and not clauses
            and not settings
            and word != "OPTIONS"
            and token.token_type not in _OPEN
        ):
            name += token.text
        if token.token_type in _OPEN:
            depth += 1
        elif token.token_type in _CLOSED:
            depth -= 1
    return CreateModel(name, _at(tokens[0]), settings, frozenset(clauses))


def _settings(tokens: Sequence[Token]) -> Iterator[Setting]:
    """Yield `name = value` of OPTIONS, whose parenthesis has been opened."""
    part: list[Token] = []
    depth = 0
    before: Token | None = None
    for token in tokens:
        ends = depth == 0 and token.token_type in (TokenType.COMMA, TokenType.R_PAREN)
        if not ends:
            depth += token.token_type in _OPEN
            depth -= token.token_type in _CLOSED
            part.append(token)
            continue
        if len(part) > 2 and part[1].token_type == TokenType.EQ:
            yield _setting(part, before, token)
        if token.token_type == TokenType.R_PAREN:
            return
        before, part = token, []


def _setting(part: Sequence[Token], before: Token | None, after: Token) -> Setting:
    value = part[2:]
    text = value[0].text if len(value) == 1 and value[0].token_type in _STRINGS else None
    start, stop = part[0].start, part[-1].end + 1
    if after.token_type == TokenType.COMMA:
        stop = after.end + 1
    elif before is not None:
        start = before.start
    return Setting(
        part[0].text.lower(), text, (value[0].start, value[-1].end + 1), (start, stop), _at(part[0])
    )


def _at(token: Token) -> str:
    return f" at [{token.line}:{max(token.col - (token.end - token.start), 1)}]"
