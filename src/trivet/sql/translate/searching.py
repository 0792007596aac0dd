"""Where a part stands in a string, and regular expressions.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions
"""

import re

from sqlglot import exp

from trivet.sql.translate.forms import Node, Rules, form, integer, is_text, kind, refused, wrong

RULES = Rules()


@RULES(exp.StrPosition)
def _position(node: exp.StrPosition) -> Node:
    value, part = node.this, node.args["substr"]
    if kind(value) == "BYTES":
        raise refused(node, "of BYTES is not supported", "STRPOS")
    start, number = (node.args.get(key) for key in ("position", "occurrence"))
    if all(one is None or integer(one) == 1 for one in (start, number)):
        return form("strpos(_x, _part)", "INT64", x=value, part=part)
    return form(
        "CASE WHEN _x IS NULL OR _part IS NULL THEN NULL WHEN _start = 0 OR _number < 1 "
        "THEN error('INSTR: the position must not be 0, the occurrence must be positive') ELSE "
        "coalesce(list_extract(CASE WHEN _start > 0 THEN list_filter(range(_start, length(_x) + 1), "
        "lambda e_: substring(_x, e_, length(_part)) = _part) ELSE list_reverse(list_filter("
        "range(1, length(_x) + 2 + _start), lambda e_: substring(_x, e_, length(_part)) = _part)) END, "
        "_number), 0) END",
        "INT64", x=value, part=part, start=start or 1, number=number or 1,
    )  # fmt: skip


@RULES(exp.Contains)
def _contains(node: Node) -> Node:
    if kind(node.this) != "STRING":
        raise refused(node, "of anything but STRING is not supported", "CONTAINS_SUBSTR")
    return form(
        "contains(lower(nfc_normalize(_x)), lower(nfc_normalize(_part)))", "BOOL",
        x=node.this, part=node.expression,
    )  # fmt: skip


@RULES(exp.RegexpExtract, exp.RegexpExtractAll)
def _extract(node: Node) -> Node | None:
    if _groups(node.expression) > 1:
        raise wrong(node, "Regular expression has more than 1 capturing group")
    return None


@RULES(exp.RegexpInstr)
def _regexp_position(node: Node) -> Node:
    pattern = node.expression
    if any(node.args.get(key) is not None for key in ("position", "occurrence", "option", "parameters")):
        raise refused(node, "takes two arguments here", "REGEXP_INSTR")
    if not is_text(pattern) or _groups(pattern) or pattern.name.startswith("^") or "\\b" in pattern.name:
        raise refused(node, "the pattern must be a literal without groups, ^ and \\b", "REGEXP_INSTR")
    return form(
        "CASE WHEN regexp_matches(_x, _pattern) THEN length(regexp_extract(_x, _before, 1)) + 1 "
        "WHEN _x IS NOT NULL THEN 0 END",
        "INT64", x=node.this, pattern=pattern, before=f"(?s)^(.*?)(?-s:{pattern.name})",
    )  # fmt: skip


def _groups(pattern: Node) -> int:
    """Return the number of capturing groups of a literal."""
    if not is_text(pattern):
        return 0
    plain = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "", pattern.name)
    return len(re.findall(r"\((?!\?)|\(\?P?<", plain))
