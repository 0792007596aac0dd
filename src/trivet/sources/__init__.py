"""Where the records of a batch come from. The name of a format is the name of its file here."""
