"""BigQuery's SQL as text: statements are parsed, models and their functions included.

sqlglot's dialect knows most of it. Added are the functions of models, `ML.X(MODEL m, ..)`, the statements
ALTER MODEL and EXPORT MODEL, files as tables (`FROM 'tx.parquet'`, ours), and errors as BigQuery words them.
A statement that is known but not supported is refused by its name here; `translate` refuses functions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from sqlglot import exp, parser
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.bigquery import BigQueryParser
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import Token, TokenType

from trivet.core.errors import InvalidArgument, ServingError, Unimplemented
from trivet.sql.positions import at

DialectName = Literal["bigquery", "duckdb"]


class ModelFunction(exp.Expression, exp.Func):
    """`ML.EVALUATE(MODEL m, (query), STRUCT(..))` and all others but ML.PREDICT, which is `exp.Predict`.

    `this` is the model's table, `function` the name in capitals, `expression` a Table, a Subquery or None,
    `params_struct` what else was given, most often a Struct. In a FROM it is the `this` of a Table whose `db`
    is ML, as `exp.Predict` is.
    """

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True,
        "function": True,
        "expression": False,
        "params_struct": False,
    }

    @property
    def function(self) -> str:
        """The name, `EVALUATE`."""
        return str(self.args["function"])


class AlterModel(exp.Expression):
    """`ALTER MODEL [IF EXISTS] m SET OPTIONS(..)`; see `options`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "exists": False, "properties": True}


class ExportModel(exp.Expression):
    """`EXPORT MODEL m OPTIONS(..)`; see `options`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "properties": False}


@dataclass(frozen=True, slots=True)
class Option:
    """One of OPTIONS(..). `value` is Python's; an expression that is not constant stays a node."""

    value: Any
    at: str = ""


class _Parser(parser.Parser):
    """What both dialects have of models, files and errors."""

    def raise_error(self, message: str, token: Token | None = None) -> None:
        raise _parse_error(message, token or self._curr, self.sql)

    def _parse_function_call(
        self,
        functions: Any = None,
        anonymous: bool = False,
        optional_parens: bool = True,
        any_token: bool = False,
    ) -> exp.Expr | None:
        if self._at_model_function():
            return self._parse_model_function()
        return super()._parse_function_call(functions, anonymous, optional_parens, any_token)

    def _at_model_function(self) -> bool:
        if self._prev.token_type != TokenType.DOT or self._next.token_type != TokenType.L_PAREN:
            return False
        if self._tokens[self._index - 2].text.upper() not in ("ML", "AI"):
            return False
        following = self._tokens[self._index + 2 : self._index + 4]
        if self._curr.text.upper() == "PREDICT":
            return True
        return (
            len(following) == 2
            and following[0].text.upper() == "MODEL"
            and following[1].token_type in (TokenType.IDENTIFIER, TokenType.VAR, *self.ID_VAR_TOKENS)
        )

    def _parse_model_function(self) -> exp.Expr:
        token, name = self._curr, self._curr.text.upper()
        self._advance(2)
        if not self._match_text_seq("MODEL"):
            self.raise_error("Expecting keyword MODEL")
        model, rows, rest = self._parse_table_parts(), None, None
        while self._match(TokenType.COMMA):
            if self._match_text_seq("TABLE") or self._match(TokenType.L_PAREN, advance=False):
                rows = self._parse_table()
            elif name == "PREDICT" and rows is None:
                self.raise_error("Expecting keyword TABLE or a query in parentheses")
            else:
                rest = self._parse_lambda()
        if name == "PREDICT" and rows is None:
            self.raise_error('Expecting ","')
        arguments = {"this": model, "expression": rows, "params_struct": rest}
        call = exp.Predict(**arguments) if name == "PREDICT" else ModelFunction(function=name, **arguments)
        self._match_r_paren()
        return self.expression(call, token).update_positions(token)

    def _parse_table_parts(
        self,
        schema: bool = False,
        is_db_reference: bool = False,
        wildcard: bool = False,
        fast: bool = False,
    ) -> Any:
        token = self._curr
        quoted = token.token_type == TokenType.IDENTIFIER and ("/" in token.text or "\\" in token.text)
        if schema or not (quoted or token.token_type == TokenType.STRING):
            return super()._parse_table_parts(schema, is_db_reference, wildcard, fast)
        self._advance()
        table = exp.Table(this=exp.Identifier(this=token.text, quoted=True).update_positions(token))
        table.meta["file"] = True
        return self.expression(table)

    def _parse_ddl_select(self) -> exp.Expr | None:
        following = [one.token_type for one in self._tokens[self._index : self._index + 4]]
        if following[:1] + following[2:] != [TokenType.L_PAREN, TokenType.ALIAS, TokenType.L_PAREN]:
            return super()._parse_ddl_select()
        return self.expression(exp.Tuple(expressions=self._parse_wrapped_csv(self._parse_named_query)))

    def _parse_named_query(self) -> exp.Expr | None:
        name = self._parse_id_var()  # `AS (training_data AS (..), custom_holiday AS (..))`
        self._match(TokenType.ALIAS)
        return self.expression(exp.Alias(this=self._parse_wrapped(self._parse_select), alias=name))

    def _parse_alter(self) -> Any:
        if not self._match_text_seq("MODEL"):
            return super()._parse_alter()
        exists = self._parse_exists()
        model = self._parse_table_parts(schema=True)
        if not self._match_text_seq("SET"):
            self.raise_error("Expecting keyword SET")
        return self.expression(AlterModel(this=model, exists=exists, properties=self._parse_options()))

    def _parse_export_model(self) -> Any:
        model = self._parse_table_parts(schema=True)
        options = self._parse_options() if self._match_text_seq("OPTIONS", advance=False) else None
        return self.expression(ExportModel(this=model, properties=options))

    def _parse_options(self) -> exp.Properties:
        if not self._match_text_seq("OPTIONS"):
            self.raise_error("Expecting keyword OPTIONS")
        listed = self._parse_wrapped_csv(self._parse_key_value_property, optional=False)
        return self.expression(exp.Properties(expressions=listed))

    def _parse_key_value_property(self, parse_value: Any = None, optional: bool = False) -> Any:
        token = self._curr
        found = super()._parse_key_value_property(parse_value, optional)
        return found.update_positions(token) if found else None


class BigQueryML(BigQuery):
    """GoogleSQL, with models."""

    class Tokenizer(BigQuery.Tokenizer):
        """Words that begin a script are ordinary ones: `parse` refuses scripts."""

        KEYWORDS: ClassVar = {
            **{word: kind for word, kind in BigQuery.Tokenizer.KEYWORDS.items() if kind != TokenType.COMMAND},
            "BEGIN": TokenType.BEGIN,
        }
        COMMANDS: ClassVar[set[TokenType]] = set()

    class Parser(_Parser, BigQueryParser):
        """Of all that BigQuery has."""

        STATEMENT_PARSERS: ClassVar = {
            **BigQueryParser.STATEMENT_PARSERS,
            TokenType.EXPORT: lambda self: self._parse_export(),
        }
        PROPERTY_PARSERS: ClassVar = {
            **BigQueryParser.PROPERTY_PARSERS,
            "OPTIONS": lambda self: self._parse_wrapped_csv(self._parse_key_value_property),
        }

        def _parse_export(self) -> Any:
            if self._match_text_seq("MODEL"):
                return self._parse_export_model()
            return self._parse_export_data()

        def _parse_as_command(self, start: Token) -> exp.Command:
            raise _parse_error("", self._curr, self.sql)


class DuckDBML(DuckDB):
    """DuckDB's SQL, with models."""

    class Tokenizer(DuckDB.Tokenizer):
        """Knows the word MODEL."""

        KEYWORDS: ClassVar = {
            **DuckDB.Tokenizer.KEYWORDS,
            "MODEL": TokenType.MODEL,
            "EXPORT": TokenType.EXPORT,
        }

    class Parser(_Parser, DuckDBParser):
        """Of all that DuckDB has, as far as sqlglot knows it."""

        STATEMENT_PARSERS: ClassVar = {
            **DuckDBParser.STATEMENT_PARSERS,
            TokenType.EXPORT: lambda self: self._parse_export(),
        }
        PROPERTY_PARSERS: ClassVar = {
            **DuckDBParser.PROPERTY_PARSERS,
            "OPTIONS": lambda self: self._parse_wrapped_csv(self._parse_key_value_property),
        }

        def _parse_export(self) -> Any:
            if self._match_text_seq("MODEL"):
                return self._parse_export_model()
            return self._parse_as_command(self._prev)


_DIALECTS: dict[str, type[Dialect]] = {"bigquery": BigQueryML, "duckdb": DuckDBML}


def parse(text: str, dialect: DialectName = "bigquery") -> list[exp.Expression]:
    """Return the statements of a text; comments and empty ones are left out.

    Raises InvalidArgument `Syntax error: .. at [1:8]` as BigQuery words it, and Unimplemented for statements
    that BigQuery has and Trivet has not: scripts, functions, procedures, grants.
    """
    try:
        read = _DIALECTS[dialect]()
        tokens = read.tokenize(text)
        if dialect == "bigquery":
            _refuse_statements(tokens, text)
        trees = read.parser().parse(tokens, text)
    except TokenError as error:
        raise _unreadable(error, text) from None
    except ParseError as error:
        raise InvalidArgument(error.errors[0]["description"]) from None
    except RecursionError:
        raise InvalidArgument("Query is too complex: expressions are nested too deeply") from None
    return [tree for tree in trees if isinstance(tree, exp.Expression) and not _is_empty(tree)]


def options(node: exp.Expression) -> dict[str, Option]:
    """Return OPTIONS(..) of a statement or a column by their names in lower case.

    Strings, numbers, booleans, NULL, and arrays, tuples and structs of them become Python's `str`, `int`,
    `float`, `bool`, `None`, `list`, `tuple` and `dict`. Raises InvalidArgument for a name given twice.
    """
    found: dict[str, Option] = {}
    properties = node.args.get("properties")
    for one in properties.expressions if properties is not None else []:
        if type(one) is not exp.Property:
            continue
        name = one.name.lower()
        if name in found:
            raise InvalidArgument(f"Duplicate option specified for '{one.name}'{at(one)}")
        found[name] = Option(constant(one.args["value"]), at(one))
    return found


def constant(node: exp.Expression) -> Any:  # noqa: C901, PLR0911 - one for each kind of constant
    """Return the Python value of a constant, or the node itself where it is none."""
    match node:
        case exp.Null():
            return None
        case exp.Boolean():
            return bool(node.this)
        case exp.Literal(is_string=True) | exp.RawString():
            return node.name
        case exp.Literal():
            return int(node.name) if re.fullmatch(r"\d+", node.name) else float(node.name)
        case exp.Neg(this=exp.Literal(is_string=False)):
            return -constant(node.this)
        case exp.Paren():
            return constant(node.this)
        case exp.Array():
            return [constant(one) for one in node.expressions]
        case exp.Tuple():
            return tuple(constant(one) for one in node.expressions)
        case exp.Struct():
            named = [one for one in node.expressions if isinstance(one, exp.PropertyEQ)]
            if len(named) == len(node.expressions):
                return {one.name: constant(one.expression) for one in named}
            return tuple(constant(one) for one in node.expressions)
    return node


def file_of(table: exp.Table) -> str | None:
    """Return the path of a table that is a file, `FROM 'tx.parquet'` or `` FROM `data/tx.parquet` ``."""
    return table.name if table.meta.get("file") else None


def is_safe(call: exp.Expression) -> bool:
    """Whether a function of models is called as `SAFE.ML.X(..)`."""
    table = call.parent
    return isinstance(table, exp.Table) and table.catalog.upper() == "SAFE"


def refuse(tree: exp.Expression) -> None:
    """Raise Unimplemented for a CREATE MODEL that trains."""
    if isinstance(tree, exp.Create) and tree.kind == "MODEL":
        if transform := tree.find(exp.TransformModelProperty):
            raise Unimplemented(
                "CREATE MODEL .. TRANSFORM: Trivet imports trained models; put the preprocessing into the "
                f"model, or into the query that is predicted{at(transform)}"
            )
        if query := tree.args.get("expression"):
            raise Unimplemented(
                "CREATE MODEL .. AS SELECT: Trivet imports trained models; train elsewhere, and import the "
                f"file with OPTIONS(model_type=.., model_path=..){at(query)}"
            )


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


def _refuse_statements(tokens: Sequence[Token], text: str) -> None:
    start = 0
    for end in [*(i for i, one in enumerate(tokens) if one.token_type == TokenType.SEMICOLON), len(tokens)]:
        words = [one.text.upper() for one in tokens[start:end][:8]]
        if words and words[0] != "BEGIN TRANSACTION" and words != ["BEGIN"]:
            rest = " ".join([words[0], *(word for word in words[1:] if word not in _BETWEEN)])
            for name, why in _REFUSED.items():
                if rest == name or rest.startswith(name + " "):
                    raise Unimplemented(f"{name}: {why}{_at(tokens[start])}")
            if words[0] not in _STATEMENTS:
                raise _parse_error("", tokens[start], text)
        start = end + 1


def _is_empty(tree: exp.Expression) -> bool:
    return isinstance(tree, exp.Semicolon)


def _at(token: Token) -> str:
    return f" at [{token.line}:{max(token.col - (token.end - token.start), 1)}]"


def _parse_error(message: str, token: Token | None, text: str) -> ParseError:
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


def _unreadable(error: TokenError, text: str) -> ServingError:
    missing = re.search(r"Missing (?P<what>.+) from \d+:(?P<offset>\d+)", str(error.__cause__))
    start = int(missing["offset"]) if missing else error.start or 0
    before = text[: len(text) - len(text[start:].lstrip())]
    where = f" at [{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}]"
    if missing is None:
        return InvalidArgument(f"Syntax error: Illegal input character{where}")
    return InvalidArgument(
        f"Syntax error: Unclosed {'identifier' if missing['what'] == '`' else 'string literal'}{where}"
    )
