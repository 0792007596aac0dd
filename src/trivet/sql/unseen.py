"""What DuckDB's own dialect can reach without a name that is looked at, which is refused.

Names in a statement are looked at, so that none is of what Trivet keeps in a file for itself. Some functions
of DuckDB's take a name, or a whole statement, as a text that may be put together when the statement runs.
"""

import re
from collections.abc import Iterator

from sqlglot import exp

from trivet.core.errors import InvalidArgument
from trivet.sql.positions import at

_FUNCTIONS = frozenset((
    "query", "query_table", "json_execute_serialized_sql", "histogram_values", "read_duckdb", "seq_scan",
    "storage_info", "pragma_storage_info", "duckdb_table_sample", "import_database",
    "copy_database", "add_grammar_extension", "arrow_scan", "arrow_scan_dumb", "pandas_scan",
    "python_arrow_scan", "python_map_function",
))  # fmt: skip
_IN_FROM = "histogram"
"""The name of an aggregate function, too."""

_MOST = 100
_GAP = r"(?:\s|--[^\n]*\n)"
_CALLED = re.compile(rf'\b({"|".join(_FUNCTIONS)})"?{_GAP}*\(', re.IGNORECASE)
_CALLED_IN_FROM = re.compile(
    rf'(?:\b(?:FROM|JOIN|LATERAL|PIVOT)|,){_GAP}*(?:"?\w+"?\.)*"?({_IN_FROM})"?{_GAP}*\(', re.IGNORECASE
)
_DATABASE = re.compile(rf"\s*(?:EXPORT|IMPORT|COPY\s+(?:SELECT \* )?FROM){_GAP}+DATABASE\b", re.IGNORECASE)
_COMMENT = re.compile(r"/\*(?:(?!/\*|\*/).)*\*/", re.DOTALL)
"""One that has no other in it."""

_SEARCHES = re.compile(
    rf'search_path|\bSET{_GAP}+(?:"?\w+"?{_GAP}+)?"?schema\b|\bPRAGMA{_GAP}+"?schema\b', re.IGNORECASE
)
_PLAIN = re.compile(
    r"(?:RESET|SET|PRAGMA) (?:(?:SESSION|LOCAL|GLOBAL) )?\"?\w+\"?"
    r"(?: (?:=|TO) (?:'[^']*'|\"[^\"]*\"|[\w.]+))?",
    re.IGNORECASE,
)


def refuse_unseen(tree: exp.Expression) -> None:
    """Raise InvalidArgument for a statement of DuckDB's dialect that may reach what it does not name."""
    for node in tree.find_all(exp.Expression):
        for name in _names(node):
            in_from = name == _IN_FROM and isinstance(node.parent, exp.Table | exp.Lateral)
            if name in _FUNCTIONS or in_from:
                raise _refused(name, at(node))
    if not isinstance(tree, exp.Command | exp.Set | exp.Pragma | exp.Copy):
        return
    for text in _without_comments(tree.sql(dialect="duckdb")):
        called = _CALLED.search(text) or _CALLED_IN_FROM.search(text)
        if called and isinstance(tree, exp.Command):
            raise _refused(called[1].lower(), "")
        if _DATABASE.match(text):
            raise InvalidArgument("a whole DATABASE is neither exported nor imported; COPY its tables")
        if _SEARCHES.search(text) and not _PLAIN.fullmatch(" ".join(text.split())):
            raise InvalidArgument("search_path, schema: expected a plain text, as in SET schema = 'dataset'")


def _names(node: exp.Expression) -> list[str]:
    """Return what a function is called; nothing for what is none."""
    if isinstance(node, exp.Anonymous):
        return [node.name.lower()]
    return [one.lower() for one in node.sql_names()] if isinstance(node, exp.Func) else []


def _refused(name: str, where: str) -> InvalidArgument:
    return InvalidArgument(
        f"{name}: what it reads is not seen in a statement; name the table there, or write the query{where}"
    )


def _without_comments(text: str) -> Iterator[str]:
    """Yield a text with ever fewer comments: what looks like one may be in a string."""
    yield text
    for _ in range(_MOST):
        if (fewer := _COMMENT.sub(" ", text)) == text:
            return
        text = fewer
        yield text
    raise InvalidArgument("comments are nested too deeply")
