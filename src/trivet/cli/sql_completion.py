"""What the shell of `trivet sql` completes, when it takes a line for whole, and how it colours it."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings

if TYPE_CHECKING:
    from trivet.cli.sql_shell import Shell

KEYWORDS = (
    "ALTER MODEL", "ALTER TABLE", "AND", "AS", "BETWEEN", "BY", "CASE", "CAST", "COUNT", "CREATE MODEL",
    "CREATE OR REPLACE MODEL", "CREATE OR REPLACE TABLE", "CREATE SCHEMA", "CREATE TABLE", "CREATE VIEW",
    "CROSS JOIN", "DELETE FROM", "DESC", "DISTINCT", "DROP MODEL", "DROP TABLE", "DROP VIEW", "ELSE", "END",
    "EXCEPT", "EXISTS", "EXPORT MODEL", "FROM", "GROUP BY", "HAVING", "IF EXISTS", "IF NOT EXISTS",
    "INFORMATION_SCHEMA", "INNER JOIN", "INPUT", "INSERT INTO", "INTERSECT DISTINCT", "IS NOT NULL",
    "IS NULL", "JOIN", "LEFT JOIN", "LIKE", "LIMIT", "MERGE", "ML.CONFUSION_MATRIX", "ML.EVALUATE",
    "ML.EXPLAIN_PREDICT", "ML.FEATURE_IMPORTANCE", "ML.FEATURE_INFO", "ML.PREDICT", "ML.ROC_CURVE", "MODEL",
    "NOT", "NULL", "OPTIONS", "OR", "ORDER BY", "OUTPUT", "OVER", "PARTITION BY", "QUALIFY", "REMOTE WITH",
    "SAFE.ML.PREDICT", "SELECT", "SET", "STRUCT", "TABLE", "THEN", "TRUNCATE TABLE", "UNION ALL", "UNNEST",
    "UPDATE", "USING", "VALUES", "WHEN", "WHERE", "WITH", "model_path", "model_type",
)  # fmt: skip
COMMANDS = (
    "\\models",
    "\\tables",
    "\\d",
    "\\use",
    "\\dialect",
    "\\timing",
    "\\rows",
    "\\format",
    "\\?",
    "\\q",
)

_WORD = re.compile(r"[\w.`\\?-]*$")
_TABLES = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|VIEW|\\d|MERGE|USING)\s+[\w.`-]*$", re.I)
_MODELS = re.compile(r"\b(?:MODEL|\\d)\s+[\w.`@-]*$", re.I)
_NAMED = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO|TABLE)\s+([\w.]+)", re.I)


class SqlCompleter(Completer):
    """Completes keywords, tables, models and the columns of tables that a statement names."""

    def __init__(self, shell: "Shell") -> None:
        self._shell = shell

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield what may stand where the cursor is."""
        before = document.text_before_cursor
        found = _WORD.search(before)
        word = found.group() if found else ""
        seen = set()
        for one in self.offers(before, document.text, word):
            if one.lower().startswith(word.lower()) and one not in seen:
                seen.add(one)
                yield Completion(one, -len(word))

    def offers(self, before: str, text: str, word: str) -> Iterator[str]:
        """Yield the names that fit there, whatever has been typed of them."""
        names = self._shell.names()
        if before.startswith("\\") and " " not in before:
            yield from COMMANDS
            return
        if _MODELS.search(before):
            yield from names["models"]
            if not before.startswith("\\"):
                return
        if _TABLES.search(before):
            yield from names["tables"]
            return
        yield from self._shell.columns(_NAMED.findall(text))
        if word:
            yield from KEYWORDS
            yield from names["tables"]
            yield from names["models"]


def bindings() -> KeyBindings:
    """Return what Enter does: run what is whole, else begin another line."""
    keys = KeyBindings()

    @Condition
    def whole() -> bool:
        from prompt_toolkit.application import get_app

        return is_whole(get_app().current_buffer.text)

    @keys.add("enter", filter=whole)
    def _run(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    return keys


def is_whole(text: str) -> bool:
    """Whether what has been typed may be run: a command, or statements that end with `;`."""
    text = text.strip()
    return not text or text.startswith("\\") or text.endswith(";") or text.lower() in ("quit", "exit")


def lexer() -> Any:
    """Return what colours statements."""
    from prompt_toolkit.lexers import PygmentsLexer
    from pygments.lexers.sql import SqlLexer  # type: ignore[import-untyped]

    return PygmentsLexer(SqlLexer)
