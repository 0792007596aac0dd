"""Runs custom containers: in podman or docker, or as processes where there is neither."""
