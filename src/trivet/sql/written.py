"""Texts as they were written: the statements of one, and the query in a statement."""

from collections.abc import Iterator, Sequence

from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from trivet.sql.dialect import BigQueryML, DuckDBML


def statements(text: str, dialect: str = "bigquery") -> Iterator[tuple[int, str]]:
    """Yield the statements of a text that are not empty, each with where it starts; all of it where it
    cannot be read.
    """
    try:
        tokens = _tokens(text, dialect)
    except TokenError:
        yield 0, text
        return
    start = 0
    ends = [one.start for one in tokens if one.token_type == TokenType.SEMICOLON]
    for end in [*ends, len(text)]:
        if any(start <= one.start < end for one in tokens):
            yield start, text[start:end]
        start = end + 1


def query_of(statement: str, dialect: str = "bigquery") -> str:
    """Return what stands after the first AS that is in no parentheses: the query of a CREATE."""
    depth = 0
    for one in _tokens(statement, dialect):
        depth += (one.token_type == TokenType.L_PAREN) - (one.token_type == TokenType.R_PAREN)
        if depth == 0 and one.token_type == TokenType.ALIAS:
            return statement[one.end + 1 :].strip()
    return statement


def _tokens(text: str, dialect: str) -> Sequence[Token]:
    tokens: Sequence[Token] = (DuckDBML if dialect == "duckdb" else BigQueryML)().tokenize(text)
    return tokens
