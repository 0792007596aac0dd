"""Completion in bash, which takes `fraud@2=10` for five words and completes the last of them."""

from typing import Any

from click.shell_completion import BashComplete, CompletionItem

_ADDS = "COMPREPLY+=($value)"


class JoinedBashComplete(BashComplete):
    """Puts such words together again, and offers what is to follow the last of their parts."""

    source_template = BashComplete.source_template.replace(
        _ADDS, f"{_ADDS}\n            [[ $value == *= ]] && compopt -o nospace"
    )

    _typed = ""  # before the part that bash would replace

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that."""
        args, incomplete = super().get_completion_args()
        words = joined([*args, incomplete])
        if "@" in words[-1]:
            self._typed = words[-1][: max(words[-1].rfind(sign) for sign in "@=") + 1]
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return what bash is told of an offer."""
        return f"{item.type},{str(item.value).removeprefix(self._typed)}"


def joined(words: list[str]) -> list[str]:
    """Put together what belongs to one name, `fraud @ 2`, and the `=` of its share; not `--to = x`."""
    made: list[str] = []
    for word in words:
        last = made[-1] if made else ""
        follows = last.endswith("@") or (last.endswith("=") and "@" in last)
        if follows or (word == "@" and last) or (word == "=" and "@" in last):
            made[-1] += word
        else:
            made.append(word)
    return made
