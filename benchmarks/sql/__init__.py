"""ML.PREDICT beside the model alone, and beside other ways to predict a table."""
