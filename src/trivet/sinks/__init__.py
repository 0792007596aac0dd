"""Where the results of a batch go. The name of a format is the name of its file here."""
