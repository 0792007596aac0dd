"""Where the shards of a batch prediction job are done. The name of an engine is the name of its file here."""
