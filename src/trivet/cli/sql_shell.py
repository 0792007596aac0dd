"""The shell of `trivet sql`: lines with history and completion, until a statement's `;`."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from trivet.cli import drawn, sql_run
from trivet.cli.sql_engine import Here
from trivet.core.errors import FailedPrecondition, InvalidArgument, ServingError

if TYPE_CHECKING:
    from trivet.cli.sql_engine import Engine, Listed
    from trivet.cli.sql_output import Output

HELP = {
    "\\models": "list models",
    "\\tables": "list tables and views",
    "\\d NAME": "columns of a table, a view or a model",
    "\\use DATASET": "have plain names be those of a dataset",
    "\\dialect bigquery|duckdb": "the dialect of statements",
    "\\timing": "show how long statements take, or no more",
    "\\rows N": "rows drawn of a table; 0 is all",
    "\\format table|csv|json|jsonl": "how rows are shown",
    "\\?": "this help",
    "\\q": "leave; Ctrl-D does, too",
}

_CHANGES = ("CREATE", "DROP", "ALTER", "BEGIN", "ROLLBACK")


class Shell:
    """Reads statements from a terminal, and runs them with one engine."""

    def __init__(self, engine: "Engine", output: "Output") -> None:
        self._engine = engine
        self._output = output
        self._timing = False
        self._names: dict[str, list[str]] | None = None
        self._commands: dict[str, Callable[[str], None]] = {
            "models": lambda _: _listed(self._engine.models(), "model", "type"),
            "tables": lambda _: _listed(self._engine.tables(), "table", "kind"),
            "d": self._describe,
            "use": self._use,
            "dialect": self._dialect,
            "timing": self._time,
            "rows": self._rows,
            "format": self._format,
            "?": lambda _: drawn.console().print(drawn.facts(HELP)),
        }

    def run(self, history: Path) -> None:
        """Read and run until the end of input; what is typed is kept in a file."""
        session = self._session(history)
        click.echo(f"trivet sql, {self._engine.place}: statements end with ;  \\? is help", err=True)
        while True:
            try:
                text = session.prompt(self._prompt()).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if text in ("\\q", "quit", "exit", "quit;", "exit;"):
                return
            if text:
                self.take(text)

    def take(self, text: str) -> None:
        """Run what was typed: a command, or statements; what is wrong is told, and the shell goes on."""
        begun = monotonic()
        try:
            if text.startswith("\\"):
                self._command(text)
                return
            sql_run.run(self._engine, text, None, self._output)
        except ServingError as error:
            click.secho(f"Error: {error}", fg="red" if sys.stderr.isatty() else None, err=True)
        if text.lstrip("( ").upper().startswith(_CHANGES) or ";" in text.rstrip(";"):
            self._names = None
        if self._timing:
            click.echo(f"{monotonic() - begun:.3f} s", err=True)

    def names(self) -> dict[str, list[str]]:
        """Return what may be completed: tables and models, and the columns of tables."""
        if self._names is None:
            try:
                self._names = {
                    "tables": [name for name, _, _ in self._engine.tables()],
                    "models": [name for name, _, _ in self._engine.models()],
                }
            except ServingError:
                self._names = {"tables": [], "models": []}
        return self._names

    def columns(self, tables: list[str]) -> Iterator[str]:
        """Yield the columns of tables."""
        for table in tables:
            try:
                yield from (name for name, _, _ in self._engine.columns(table))
            except ServingError:
                continue

    def _session(self, history: Path) -> Any:
        try:
            from prompt_toolkit import PromptSession
        except ImportError:
            raise FailedPrecondition(
                "the shell needs a library that is not installed: pip install 'trivet[sql]'"
            ) from None
        from prompt_toolkit.history import FileHistory

        from trivet.cli.sql_completion import SqlCompleter, bindings, lexer

        history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return PromptSession(
            history=FileHistory(str(history)),
            completer=SqlCompleter(self),
            complete_while_typing=False,
            multiline=True,
            key_bindings=bindings(),
            lexer=lexer(),
            prompt_continuation=lambda width, line, wrapped: "." * (width - 2) + "  ",
        )

    def _prompt(self) -> str:
        return f"{self._engine.place}> "

    def _command(self, text: str) -> None:
        name, _, argument = text[1:].rstrip(";").strip().partition(" ")
        if name not in self._commands:
            raise InvalidArgument(f"\\{name}: there is no such command; \\? lists them")
        self._commands[name](argument.strip())

    def _describe(self, name: str) -> None:
        if not name:
            raise InvalidArgument("\\d: expected the name of a table, a view or a model")
        _listed(self._engine.columns(name), "column", "type")

    def _use(self, dataset: str) -> None:
        self._engine.use(dataset)

    def _dialect(self, dialect: str) -> None:
        if not isinstance(self._engine, Here):
            raise InvalidArgument(f"\\dialect: {self._engine.place} speaks BigQuery's alone")
        self._engine.speak(dialect or "bigquery")

    def _time(self, _: str) -> None:
        self._timing = not self._timing
        click.echo(f"timing is {'on' if self._timing else 'off'}")

    def _rows(self, number: str) -> None:
        if not number.isdigit():
            raise InvalidArgument(f"\\rows {number}: expected a number")
        self._output.rows = int(number)

    def _format(self, name: str) -> None:
        if name not in ("table", "csv", "json", "jsonl"):
            raise InvalidArgument(f"\\format {name}: expected table, csv, json or jsonl")
        self._output.format = name


def _listed(found: "Listed", what: str, kind: str) -> None:
    table = drawn.table(what, kind, "")
    for one in found:
        table.add_row(*one)
    drawn.console().print(table)
