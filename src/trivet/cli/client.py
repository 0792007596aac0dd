"""Small clients of a server, over a kept-alive connection of the standard library."""

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

from trivet.core.errors import Code, Internal, InvalidArgument, ServingError, Unavailable
from trivet.core.names import ModelRef

GONE = (OSError, http.client.HTTPException)
"""What a connection raises where no answer comes."""


class Connection:
    """Asks one server, over one connection at a time; raises InvalidArgument for what is no address."""

    def __init__(self, server: str, timeout: float) -> None:
        address = urlsplit(server if "://" in server else f"http://{server}")
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        try:
            port = address.port
        except ValueError:
            port = -1
        if address.scheme not in kinds or not address.hostname or port == -1:
            raise InvalidArgument(f"{server}: expected a server like http://localhost:8080")
        self.server = f"{address.scheme}://{address.netloc}"
        self._prefix = address.path.rstrip("/")
        self._connection = kinds[address.scheme](address.hostname, port, timeout=timeout)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return the status and the content of the answer; raises what is `GONE`, and may be asked again."""
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self._connection.request(method, f"{self._prefix}{path}", content, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except GONE:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection; the next question opens another."""
        self._connection.close()


class Client:
    """Asks one server for predictions."""

    def __init__(self, server: str, timeout: float) -> None:
        self._connection = Connection(server, timeout)

    def predict(self, model: str, instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        """Return one prediction per instance; raises what the server says, or Unavailable."""
        ref = ModelRef.parse(model)
        version = f"/versions/{quote(ref.version)}" if "@" in model else ""
        body = {"instances": instances, **({"parameters": parameters} if parameters else {})}
        try:
            status, content = self._connection.ask(
                "POST", f"/v1/models/{quote(ref.name)}{version}:predict", body
            )
        except GONE as error:
            raise Unavailable(
                f"no answer from {self._connection.server}: {error or type(error).__name__}; "
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
        raise error_of(problem["status"], f"{problem['message']} ({status})")
    except (ValueError, KeyError, TypeError, AssertionError):
        shown = content[:200].decode("utf-8", "replace")
        raise Internal(f"the server answered {status} with {shown!r}: not a prediction") from None


def error_of(code: str, message: str) -> ServingError:
    """Return the error that a server tells of, by the name of its canonical code."""
    kinds = {kind.code.name: kind for kind in ServingError.__subclasses__()}
    return kinds.get(code, Internal)(message) if code in Code.__members__ else Internal(message)
