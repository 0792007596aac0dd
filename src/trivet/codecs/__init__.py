"""Foreign rows to Instances and back, guided by a Signature; shared by every door."""
