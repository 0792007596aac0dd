#!/usr/bin/env bash
export PORT=$AIP_HTTP_PORT
export WEB_CONCURRENCY=1
export FROM_PRESTART=yes
