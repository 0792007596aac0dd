"""A small client of the prediction path, over one kept-alive connection of the standard library."""

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

from trivet.core.errors import Code, Internal, InvalidArgument, ServingError, Unavailable
from trivet.core.names import ModelRef


class Client:
    """Asks one server."""

    def __init__(self, server: str, timeout: float) -> None:
        address = urlsplit(server if "://" in server else f"http://{server}")
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if address.scheme not in kinds or not address.hostname:
            raise InvalidArgument(f"{server}: expected a server like http://localhost:8080")
        self._server = f"{address.scheme}://{address.netloc}"
        self._prefix = address.path.rstrip("/")
        self._connection = kinds[address.scheme](address.hostname, address.port, timeout=timeout)

    def predict(self, model: str, instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        """Return one prediction per instance; raises what the server says, or Unavailable."""
        ref = ModelRef.parse(model)
        version = f"/versions/{quote(ref.version)}" if "@" in model else ""
        path = f"{self._prefix}/v1/models/{quote(ref.name)}{version}:predict"
        body = json.dumps({"instances": instances, **({"parameters": parameters} if parameters else {})})
        try:
            self._connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            status, content = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unavailable(
                f"no answer from {self._server}: {error or type(error).__name__}; "
                "is it running? Start it with `trivet serve`"
            ) from None
        return _predictions(status, content)


def _predictions(status: int, content: bytes) -> list[Any]:
    try:
        answer = json.loads(content)
        if status == 200:
            predictions = answer["predictions"]
            assert isinstance(predictions, list)
            return predictions
        problem = answer["error"]
        raise _error(problem["status"], f"{problem['message']} ({status})")
    except (ValueError, KeyError, TypeError, AssertionError):
        shown = content[:200].decode("utf-8", "replace")
        raise Internal(f"the server answered {status} with {shown!r}: not a prediction") from None


def _error(code: str, message: str) -> ServingError:
    kinds = {kind.code.name: kind for kind in ServingError.__subclasses__()}
    return kinds.get(code, Internal)(message) if code in Code.__members__ else Internal(message)
