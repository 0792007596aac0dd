"""`trivet.connect()`: Google's Vertex AI SDK speaks to Trivet over plain HTTP, with all that REST can do.

The SDK writes `https://` and Google's hosts into some of its calls. They all go through one method of
google-auth's session, which this leads elsewhere; the asynchronous predictions, which would use gRPC or
another library, run the synchronous ones in a thread.
"""

import asyncio
import functools
import re
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from trivet.core.errors import FailedPrecondition, InvalidArgument

_GOOGLES = re.compile(
    r"([a-z0-9-]+-)?aiplatform\.googleapis\.com|aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com"
    r"|.+\.prediction\.(vertexai\.goog|p\.googleapis\.com)"
)
_LOCAL = ("localhost", "127.0.0.1", "::1")
_VERTEX = re.compile(r"/v1(beta1)?/projects/")


@dataclass
class _Target:
    """Where requests are led to; one for the process, as the SDK's own settings are."""

    url: str = ""
    host: str = ""

    def lead(self, url: str) -> str:
        """Return the URL to ask instead of one."""
        asked = urlsplit(url)
        ours = asked.hostname in (self.host, *_LOCAL) and _VERTEX.match(asked.path)
        if asked.scheme != "https" or not (ours or _GOOGLES.fullmatch(asked.hostname or "")):
            return url
        query = f"?{asked.query}" if asked.query else ""
        return f"{self.url}{asked.path}{query}"


_target = _Target()


def connect(
    url: str = "http://127.0.0.1:8080",
    project: str = "local",
    location: str = "us-central1",
    credentials: Any = None,
    **init: Any,
) -> None:
    """Let this process's `google.cloud.aiplatform` use the Trivet server at a URL.

    Takes what `aiplatform.init` takes besides, and calls it. May be called again, for another server.
    Raises FailedPrecondition where google-cloud-aiplatform is not installed, InvalidArgument for a URL that
    is none.
    """
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise InvalidArgument(f"{url!r}: expected the URL of a server, as http://127.0.0.1:8080")
    try:
        from google.auth.credentials import AnonymousCredentials
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud import aiplatform
    except ImportError as error:
        raise FailedPrecondition(
            f"trivet.connect() needs google-cloud-aiplatform ({error}); "
            "install it with `pip install 'trivet[google]'`"
        ) from None
    if not _target.url:
        _lead_requests(AuthorizedSession)
        for name in ("predict", "explain", "direct_predict", "direct_raw_predict"):
            _in_a_thread(aiplatform.Endpoint, name)
    _target.url, _target.host = url.rstrip("/"), address.hostname
    aiplatform.init(
        project=project,
        location=location,
        credentials=credentials or AnonymousCredentials(),
        api_endpoint=_target.url,
        api_transport="rest",
        **init,
    )


def _lead_requests(session: Any) -> None:
    original = session.request

    @functools.wraps(original)
    def request(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return original(self, method, _target.lead(url), *args, **kwargs)

    session.request = request


def _in_a_thread(endpoint: Any, name: str) -> None:
    """Replace an asynchronous method by its synchronous twin, in a thread."""
    original = getattr(endpoint, f"{name}_async", None)
    if original is None:  # in an SDK that does not have it
        return

    @functools.wraps(original)
    async def asked(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(getattr(self, name), *args, **kwargs)

    setattr(endpoint, f"{name}_async", asked)


class _Callable(ModuleType):
    """This module, which whoever imports it by name leaves in the place of the function `trivet.connect`."""

    def __call__(self, *args: Any, **init: Any) -> None:
        connect(*args, **init)


sys.modules[__name__].__class__ = _Callable
