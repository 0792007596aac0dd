"""Public conformance checks: whoever writes a plugin runs on it what the built-in ones pass."""

from trivet.testing.runtimes import check_runtime
from trivet.testing.sinks import check_sink
from trivet.testing.sources import check_source

__all__ = ["check_runtime", "check_sink", "check_source"]
