"""Door: model frameworks, one file each; the file's name is the framework's name.

A runtime turns an artifact into a predictor and leaves queues, threads and protocols to others.
"""
