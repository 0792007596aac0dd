"""Statements that are refused by their first words, and errors of syntax as BigQuery words them."""

import re
from collections.abc import Sequence

from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from trivet.core.errors import InvalidArgument, Unimplemented

_STATEMENTS = {
    "SELECT", "WITH", "(", "FROM", "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "DROP", "ALTER",
    "TRUNCATE", "BEGIN", "COMMIT", "ROLLBACK", "EXPORT",
}  # fmt: skip

# The first words of statements that are refused, and why.
_SCRIPT = "Trivet runs statements one after another and has no scripting"
_REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ["BEGIN", "DECLARE", "SET", "IF", "LOOP", "WHILE", "REPEAT", "FOR", "CASE", "CALL", "RAISE", "RETURN",
         "BREAK", "LEAVE", "CONTINUE", "ITERATE", "EXECUTE IMMEDIATE", "END", "ELSE", "ELSEIF", "EXCEPTION"],
        _SCRIPT,
    ),
    "GRANT": "access is not kept by dataset here",
    "REVOKE": "access is not kept by dataset here",
    "ASSERT": "not supported",
    "UNDROP": "what is dropped is gone",
    "LOAD DATA": "read the file, CREATE TABLE .. AS SELECT * FROM 'file.parquet', or run a load job",
    "EXPORT DATA": "run an extract job, or write the result with `trivet sql -o`",
    **dict.fromkeys(
        ["CREATE FUNCTION", "CREATE AGGREGATE FUNCTION", "CREATE TABLE FUNCTION", "CREATE PROCEDURE",
         "DROP FUNCTION", "DROP TABLE FUNCTION", "DROP PROCEDURE", "ALTER FUNCTION"],
        "functions and procedures of one's own are not supported",
    ),
    **dict.fromkeys(
        [f"{verb} {kind}" for verb in ("CREATE", "DROP", "ALTER") for kind in
         ("MATERIALIZED VIEW", "EXTERNAL TABLE", "EXTERNAL SCHEMA", "SNAPSHOT TABLE", "SEARCH INDEX",
          "VECTOR INDEX", "ROW ACCESS POLICY", "ALL ROW ACCESS POLICIES", "RESERVATION", "CAPACITY",
          "ASSIGNMENT", "BI_CAPACITY", "ORGANIZATION", "PROJECT", "CONNECTION", "DATA_POLICY",
          "PRIVILEGE")],
        "not supported",
    ),
}  # fmt: skip
_BETWEEN = {"OR", "REPLACE", "TEMP", "TEMPORARY"}


def refuse_statements(tokens: Sequence[Token], text: str) -> None:
    """Raise Unimplemented for statements that Trivet has not, and ParseError for what begins none."""
    start = 0
    for end in [*(i for i, one in enumerate(tokens) if one.token_type == TokenType.SEMICOLON), len(tokens)]:
        words = [one.text.upper() for one in tokens[start:end][:8]]
        if words and words[0] != "BEGIN TRANSACTION" and words != ["BEGIN"]:
            rest = " ".join([words[0], *(word for word in words[1:] if word not in _BETWEEN)])
            for name, why in _REFUSED.items():
                if rest == name or rest.startswith(name + " "):
                    raise Unimplemented(f"{name}: {why}{_at(tokens[start])}")
            if words[0] not in _STATEMENTS:
                raise parse_error("", tokens[start], text)
        start = end + 1


def _at(token: Token) -> str:
    return f" at [{token.line}:{max(token.col - (token.end - token.start), 1)}]"


def parse_error(message: str, token: Token | None, text: str) -> ParseError:
    """Return the error that a token, or the end of the text, is not what sqlglot's `message` expects."""
    if token:
        got, where = _described(token, text), _at(token)
    else:
        lines = text.rstrip().rstrip(";").rstrip().split("\n")
        got, where = "end of statement", f" at [{len(lines)}:{len(lines[-1]) + 1}]"
    expected = re.match(r"Expect(?:ing|ed) (?P<what>.+?)(?: but got .*)?\.?$", message)
    if expected:
        what = expected["what"]
        what = f'"{what}"' if re.fullmatch(r"\W", what) else what
        said = f"Syntax error: Expected {what} but got {got}{where}"
    elif message.startswith("The number of provided arguments"):
        said = f"No matching signature: {message[0].lower()}{message[1:]}{where}"
    else:
        said = f"Syntax error: Unexpected {got}{where}"
    return ParseError.new(said, description=said)


def _described(token: Token, text: str) -> str:
    written = text[token.start : token.end + 1]
    match token.token_type:
        case TokenType.STRING:
            return f"string literal {written[:60]}"
        case TokenType.NUMBER:
            return f'{"integer" if written.isdigit() else "floating point"} literal "{written}"'
        case TokenType.IDENTIFIER | TokenType.VAR:
            return f"identifier {written}" if written.startswith("`") else f'identifier "{written}"'
    return f"keyword {written.upper()}" if written[:1].isalpha() else f'"{written}"'


def unreadable(error: TokenError, text: str) -> InvalidArgument:
    """Return the error for a string, an identifier or a comment without an end."""
    missing = re.search(r"Missing (?P<what>.+) from \d+:(?P<offset>\d+)", str(error.__cause__))
    start = int(missing["offset"]) if missing else error.start or 0
    before = text[: len(text) - len(text[start:].lstrip())]
    where = f" at [{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}]"
    if missing is None:
        return InvalidArgument(f"Syntax error: Illegal input character{where}")
    return InvalidArgument(
        f"Syntax error: Unclosed {'identifier' if missing['what'] == '`' else 'string literal'}{where}"
    )
