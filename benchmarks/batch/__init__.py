"""Batch prediction beside the ways that one would otherwise take."""
