"""Compressed TFRecord files: what `tf-record` reads too, by the name that the API has for it."""

from trivet.sources.tf_record import TFRecords

SOURCE = TFRecords()
