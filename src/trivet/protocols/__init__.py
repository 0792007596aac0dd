"""Door: wire protocols. Each maps names, bodies and codes, and nothing more."""
