#!/bin/sh
# Starts one of the applications: the one that MODULE_NAME names.
exec uvicorn "app.${MODULE_NAME:-main}:app" \
  --host "${HOST:-0.0.0.0}" --port "${AIP_HTTP_PORT:-${PORT:-8080}}" --workers "${WEB_CONCURRENCY:-1}"
