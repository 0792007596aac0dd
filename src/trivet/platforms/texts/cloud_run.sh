#!/usr/bin/env bash
# Build the images and make the service, one revision after the other. It may be run again.
set -euo pipefail
cd "$(dirname "$0")"
: "${ENGINE:=docker}" "${MACHINE:=linux/amd64}" "${PROJECT:=%{project}}" "${REGION:=%{region}}"
: "${PROJECT:?say which Google Cloud project: PROJECT=... ./deploy.sh}"

%{build}

for file in %{files}; do
  gcloud run services replace "$file" --project "$PROJECT" --region "$REGION"
done
%{everyone}
gcloud run services describe %{name} --project "$PROJECT" --region "$REGION" --format 'value(status.url)'
