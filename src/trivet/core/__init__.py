"""Values and pure rules: numpy and the standard library; no I/O, no clock, no asyncio."""
