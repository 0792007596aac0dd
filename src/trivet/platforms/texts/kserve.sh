#!/usr/bin/env bash
# Build the images and apply the versions, one after the other. The cluster is that of kubectl's context.
set -euo pipefail
cd "$(dirname "$0")"
: "${ENGINE:=docker}" "${MACHINE:=linux/amd64}"

%{build}

kubectl apply --dry-run=server --filename . > /dev/null  # all of it is sound, or nothing is changed
if [ -f account.yaml ]; then
  kubectl apply --filename account.yaml
fi
for file in %{files}; do
  kubectl apply --filename "$file"
  kubectl wait inferenceservice/%{name} --namespace %{namespace} --for condition=Ready --timeout 15m
done
kubectl get inferenceservice/%{name} --namespace %{namespace} --output 'jsonpath={.status.url}'
echo
