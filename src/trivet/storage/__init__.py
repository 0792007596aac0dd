"""Where artifacts come from: local paths, and object stores by URI.

It knows files, names and bytes, and nothing of models; what is copied and kept is for others to say.
"""

from trivet.storage.base import File, Report, Source
from trivet.storage.local import LocalFiles
from trivet.storage.remote import RemoteFiles
from trivet.storage.sources import Buckets, fetch, locate, source

__all__ = ["Buckets", "File", "LocalFiles", "RemoteFiles", "Report", "Source", "fetch", "locate", "source"]
