"""The composition root: settings become an object graph, which serves until it is told to stop."""
