"""`$(NAME)` in the command and the arguments of a container, as Kubernetes and Vertex AI have it."""

import re
from collections.abc import Mapping, Sequence

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.][A-Za-z0-9_.-]*)\)")


def expanded(words: Sequence[str], env: Mapping[str, str]) -> tuple[str, ...]:
    """Put values in place of `$(NAME)`; one that there is not stays as it is, and `$$` is a `$`."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[1] is None else env.get(found[1], found[0])

    return tuple(_REFERENCE.sub(value, word) for word in words)
