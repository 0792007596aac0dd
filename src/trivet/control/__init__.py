"""The control plane: what may be done to models, endpoints and deployments. It writes wishes."""
