#!/bin/sh
# Starts one of the applications: the one that MODULE_NAME names.
exec gunicorn "app.${MODULE_NAME:-main}:app" \
  --bind "${HOST:-0.0.0.0}:${AIP_HTTP_PORT:-${PORT:-8080}}" \
  --workers "${WEB_CONCURRENCY:-1}" --threads 8 --timeout "${TIMEOUT:-600}"
