"""What a connection is doing."""

IDLE = "idle"
"""Between two requests."""

HEAD, BODY = "head", "body"
"""Some of a request's head, or of its body, has come."""

ANSWERING = "answering"

MOVING = "moving"
"""To go to another process: it is not read from, and its next request is not begun with."""

CLOSING, LINGERING, CLOSED = "closing", "lingering", "closed"
