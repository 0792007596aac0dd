"""Writes what other platforms need to run a model as Trivet does: images, manifests, scripts and notes.

It knows each platform's form, and nothing of catalogs: what is exported is given as values.
"""
