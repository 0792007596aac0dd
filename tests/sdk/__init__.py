"""Google's own SDK, unmodified, against a real server: REST and gRPC, the newest 2.x and the last 1.x."""
