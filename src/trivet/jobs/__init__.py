"""Batch prediction: from a job to shards, from records to instances, predictions and results.

Plain synchronous code; whoever runs it owns the processes.
"""
