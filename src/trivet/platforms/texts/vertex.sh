#!/usr/bin/env bash
# Build the images, and copy what is to be in the storage.
set -euo pipefail
cd "$(dirname "$0")"
: "${ENGINE:=docker}" "${MACHINE:=linux/amd64}"

%{build}
