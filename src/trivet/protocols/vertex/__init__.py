"""Vertex AI's API (aiplatform v1): predictions by the fronts, all else by the control plane."""

from trivet.protocols.vertex.online import VertexProtocol

PROTOCOL = VertexProtocol
