"""BigQuery's SQL as text: statements are parsed, models and their functions included.

sqlglot's dialect knows most of it. Added are the functions of models, `ML.X(MODEL m, ..)`, the statements
ALTER MODEL and EXPORT MODEL, files as tables (`FROM 'tx.parquet'`, ours), and errors as BigQuery words them.
A statement that is known but not supported is refused by its name here; `translate` refuses functions.
"""

from typing import Any, ClassVar, Literal

from sqlglot import exp, parser
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.bigquery import BigQueryParser
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import Token, TokenType

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.sql.nodes import (
    AlterColumnOptions,
    AlterModel,
    ExportModel,
    ModelFunction,
    Option,
    constant,
    file_of,
    is_safe,
    options,
)
from trivet.sql.positions import at
from trivet.sql.syntax import parse_error, refuse_statements, unreadable

DialectName = Literal["bigquery", "duckdb"]


class _Parser(parser.Parser):
    """What both dialects have of models, files and errors."""

    def raise_error(self, message: str, token: Token | None = None) -> None:
        raise parse_error(message, token or self._curr, self.sql)

    def _parse_unary(self) -> exp.Expr | None:
        start = self._curr
        this = super()._parse_unary()
        if this is not None and start is not None and "line" not in this.meta:
            this.update_positions(start)  # where it begins: sqlglot itself knows that of names alone
        return this

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

    def _parse_placeholder(self) -> exp.Expr | None:
        token = self._curr
        found = super()._parse_placeholder()
        return found.update_positions(token) if found is not None else None

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
        if self._match_text_seq("SCHEMA"):
            return self._parse_alter_schema()
        if not self._match_text_seq("MODEL"):
            return super()._parse_alter()
        exists = self._parse_exists()
        model = self._parse_table_parts(schema=True)
        if not self._match_text_seq("SET"):
            self.raise_error("Expecting keyword SET")
        return self.expression(AlterModel(this=model, exists=exists, properties=self._parse_options()))

    def _parse_alter_schema(self) -> Any:
        exists = self._parse_exists()
        schema = self._parse_table_parts(schema=True, is_db_reference=True)
        if not self._match_text_seq("SET"):
            self.raise_error("Expecting keyword SET")
        action = exp.AlterSet(expressions=self._parse_options().expressions)
        return self.expression(exp.Alter(this=schema, kind="SCHEMA", exists=exists, actions=[action]))

    def _parse_alter_table_alter(self) -> Any:
        start = self._index
        self._match_text_seq("COLUMN")
        exists = self._parse_exists()
        column = self._parse_field(any_token=True)
        if self._match_text_seq("SET") and self._match_text_seq("OPTIONS", advance=False):
            options = self._parse_options()
            return self.expression(AlterColumnOptions(this=column, exists=exists, properties=options))
        self._retreat(start)
        return super()._parse_alter_table_alter()

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
        FUNCTION_PARSERS: ClassVar = {
            **BigQueryParser.FUNCTION_PARSERS,
            "JSON_OBJECT": lambda self: self._parse_json_object_arguments(),
        }

        def _parse_table(self, *given: Any, **named: Any) -> Any:
            found = super()._parse_table(*given, **named)
            if isinstance(found, exp.Table) and self._match_pair(TokenType.WITH, TokenType.OFFSET):
                self._match(TokenType.ALIAS)
                name = self._parse_id_var(any_token=False, tokens=self.UNNEST_OFFSET_ALIAS_TOKENS)
                found.meta["offset"] = name or exp.to_identifier("offset")
            return found

        def _implicit_unnests_to_explicit(self, this: Any) -> Any:
            """`FROM t, t.arr AS e`, and `e.arr` of an UNNEST before it."""
            seen = _aliases(this.args["from_"].this)
            for join in this.args.get("joins") or []:
                table = join.this
                if (
                    isinstance(table, exp.Table)
                    and len(table.parts) > 1
                    and table.parts[0].name.lower() in seen
                ):
                    join.set("this", _unnested(table))
                seen |= _aliases(join.this)
            return this

        def _parse_json_object_arguments(self) -> Any:
            arguments = self._parse_csv(self._parse_assignment)  # sqlglot drops names that are no literals
            return self.expression(exp.Anonymous(this="JSON_OBJECT", expressions=arguments))

        def _parse_export(self) -> Any:
            if self._match_text_seq("MODEL"):
                return self._parse_export_model()
            return self._parse_export_data()

        def _parse_as_command(self, start: Token) -> exp.Command:
            raise parse_error("", self._curr, self.sql)


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


def _aliases(source: exp.Expression) -> set[str]:
    """Return the names by which columns of a source can be had."""
    alias = source.args.get("alias")
    columns = alias.columns if isinstance(source, exp.Unnest) and isinstance(alias, exp.TableAlias) else []
    return {one.name.lower() for one in columns} or {source.alias_or_name.lower()}


def _unnested(table: exp.Table) -> exp.Unnest:
    """Return the array that a path such as `t.arr AS e` is."""
    alias = table.args.get("alias")
    table.set("alias", None)
    return exp.Unnest(
        expressions=[table.to_column()],
        alias=exp.TableAlias(columns=[alias.this]) if isinstance(alias, exp.TableAlias) else None,
        offset=table.meta.get("offset"),
    )


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
            refuse_statements(tokens, text)
        trees = read.parser().parse(tokens, text)
    except TokenError as error:
        raise unreadable(error, text) from None
    except ParseError as error:
        raise InvalidArgument(error.errors[0]["description"]) from None
    except RecursionError:
        raise InvalidArgument("Query is too complex: expressions are nested too deeply") from None
    return [tree for tree in trees if isinstance(tree, exp.Expression) and not _is_empty(tree)]


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


def _is_empty(tree: exp.Expression) -> bool:
    return isinstance(tree, exp.Semicolon)


__all__ = [
    "AlterColumnOptions",
    "AlterModel",
    "BigQueryML",
    "DialectName",
    "DuckDBML",
    "ExportModel",
    "ModelFunction",
    "Option",
    "constant",
    "file_of",
    "is_safe",
    "options",
    "parse",
    "refuse",
]
