"""The engine that asks the real BigQuery: statements go there as they were written.

Only a model that BigQuery could not import as it is, because it is a local file or of another framework, is
put into a bucket first, converted where that is needed.
"""
