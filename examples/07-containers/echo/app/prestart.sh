#!/bin/sh
export PORT=$AIP_HTTP_PORT
export WEB_CONCURRENCY=1
