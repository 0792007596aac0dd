"""How long to wait before a process that ended is started again."""

STABLE_SECONDS = 1.0
"""A process that has served for so long is sound: if it ends, another starts at once."""

SHORTEST, LONGEST = 0.1, 30.0


def pause(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: none after the first, then ever longer."""
    return 0.0 if failures <= 1 else float(min(SHORTEST * 2 ** min(failures - 2, 20), LONGEST))
