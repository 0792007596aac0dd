"""Public conformance checks: whoever writes a plugin runs on it what the built-in ones pass."""

from trivet.testing.runtimes import check_runtime

__all__ = ["check_runtime"]
