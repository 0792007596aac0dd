#!/usr/bin/env bash
# Build the images and apply the manifests; the cluster is that of kubectl's context. It may be run again.
set -euo pipefail
cd "$(dirname "$0")"
: "${ENGINE:=docker}" "${MACHINE:=linux/amd64}"

%{build}

kubectl apply --dry-run=server --filename k8s/ > /dev/null  # all of it is sound, or nothing is changed
kubectl apply --filename k8s/
for deployment in %{deployments}; do
  kubectl rollout status "$deployment" --namespace %{namespace} --timeout 15m
done
kubectl wait gateway/%{name} --namespace %{namespace} --for condition=Programmed --timeout 15m
kubectl get gateway/%{name} --namespace %{namespace} --output 'jsonpath={.status.addresses[0].value}'
echo
