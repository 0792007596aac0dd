"""What handlers of TorchServe import from it, for where it is not installed: the package `ts`, in small.

`BaseHandler` loads TorchScript, or a state dict into the class of `modelFile`, and passes rows through
preprocess, inference and postprocess. TorchServe's own handlers (`image_classifier` and others) are not
here. Metrics that a handler adds go nowhere: Trivet has its own.
"""

import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

BASE = "ts.torch_handler.base_handler"


class PredictionException(Exception):
    """A handler's way to answer with an error; 400 to 499 blame the request."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        self.message = message
        self.error_code = error_code
        super().__init__(message)


class Metrics:
    """Takes whatever a handler measures."""

    def __getattr__(self, name: str) -> "Metrics":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> "Metrics":
        """Be any method."""
        return self


class RequestProcessor:
    """One row's part of the context: the headers of its request, of which there are none, and its status."""

    def __init__(self) -> None:
        self.status = 200
        self.phrase = ""
        self.response: dict[str, str] = {}

    def get_request_property(self, key: str) -> str | None:
        """Return a header of the request."""
        return None

    def get_request_properties(self) -> dict[str, str]:
        """Return all headers of the request."""
        return {}

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Set the row's status; from 400 on, it is an error."""
        self.status, self.phrase = code, reason_phrase or ""

    def add_response_property(self, key: str, value: str) -> None:
        """Keep a header of the response, which has no place in an answer of several rows."""
        self.response[key] = value


class Context:
    """What a handler is told of its model and of the rows it is asked about."""

    def __init__(
        self, model_name: str, manifest: Mapping[str, Any], properties: Mapping[str, Any], config: Any
    ) -> None:
        self.model_name = model_name
        self.manifest = manifest
        self.model_yaml_config = config
        self.metrics = Metrics()
        self.request_ids: dict[int, str] = {}
        self.request_processor: Sequence[RequestProcessor] = ()
        self.load_module: Callable[[Path], ModuleType] | None = None
        self._system_properties = {
            "batch_size": 1,
            "server_name": "Trivet",
            "server_version": "1.0",
            "limit_max_image_pixels": True,
            **properties,
        }

    @property
    def system_properties(self) -> dict[str, Any]:
        """`model_dir`, `gpu_id` (None on the CPU), `batch_size`, `server_name` and others."""
        return self._system_properties

    def begin(self, count: int) -> None:
        """Get ready for a batch of that many rows."""
        batch = uuid4().hex
        self._system_properties["batch_size"] = count
        self.request_ids = {index: f"{batch}-{index}" for index in range(count)}
        self.request_processor = [RequestProcessor() for _ in range(count)]

    def get_request_id(self, idx: int = 0) -> str | None:
        """Return an id of a row, which no other has."""
        return self.request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> str | None:
        """Return a header of a row's request."""
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        """Return the headers of a row's request."""
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Keep a content type; the answer is JSON all the same."""
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        """Return the content type kept."""
        return self.get_response_headers(idx).get("content-type")

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Keep a header of the response."""
        self.request_processor[idx].add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """Return the headers kept."""
        return self.request_processor[idx].response

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Set a row's status; from 400 on, it is an error."""
        self.request_processor[idx].report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Set the status of every row."""
        for one in self.request_processor:
            one.report_status(code, phrase)

    def get_response_status(self, idx: int) -> tuple[int, str]:
        """Return a row's status."""
        return self.request_processor[idx].status, self.request_processor[idx].phrase


class BaseHandler:
    """Loads the archive's model, and passes rows through it."""

    def __init__(self) -> None:
        self.model: Any = None
        self.mapping: dict[str, str] | None = None
        self.device: Any = None
        self.map_location = "cpu"
        self.initialized = False
        self.context: Any = None
        self.manifest: Any = None
        self.model_pt_path: str | None = None
        self.model_yaml_config: Any = {}
        self.explain = False
        self.target = 0

    def initialize(self, context: Any) -> None:
        """Load the model that the manifest names, onto the device that the properties name."""
        import torch

        properties = context.system_properties
        gpu = properties.get("gpu_id")
        self.map_location = "cpu" if gpu is None else "cuda"
        self.device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
        self.context, self.manifest = context, context.manifest
        self.model_yaml_config = context.model_yaml_config
        folder, model = Path(properties["model_dir"]), self.manifest["model"]
        if model.get("serializedFile"):
            self.model_pt_path = str(folder / model["serializedFile"])
        if model.get("modelFile"):
            self.model = self._load_pickled_model(str(folder), model["modelFile"], self.model_pt_path)
            self.model.to(self.device)
        elif self.model_pt_path and self.model_pt_path.endswith(".pt"):
            self.model = self._load_torchscript_model(self.model_pt_path)
        else:
            raise RuntimeError(
                "the archive has neither a modelFile nor a serializedFile of TorchScript (.pt)"
            )
        self.model.eval()
        self.mapping = load_label_mapping(str(folder / "index_to_name.json"))
        self.initialized = True

    def _load_torchscript_model(self, model_pt_path: str) -> Any:
        import warnings

        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.load(model_pt_path, map_location=self.device)

    def _load_pickled_model(self, model_dir: str, model_file: str, model_pt_path: str | None) -> Any:
        import torch

        module = self.context.load_module(Path(model_dir) / model_file)
        classes = list_classes_from_module(module)
        if len(classes) != 1:
            raise ValueError(f"{model_file}: expected one class, the model's; it has {classes}")
        model = classes[0]()
        if model_pt_path:
            model.load_state_dict(torch.load(model_pt_path, map_location=self.device, weights_only=True))
        return model

    def preprocess(self, data: Any) -> Any:
        """Make a tensor of the rows."""
        import torch

        rows = [row.get("data", row.get("body")) if isinstance(row, dict) else row for row in data]
        return torch.as_tensor(rows, device=self.device)

    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """Ask the model."""
        import torch

        with torch.inference_mode():
            return self.model(data.to(self.device), *args, **kwargs)

    def postprocess(self, data: Any) -> Any:
        """Make a list of the answers."""
        return data.tolist()

    def handle(self, data: Any, context: Any) -> Any:
        """Pass rows through the three steps."""
        self.context = context
        return self.postprocess(self.inference(self.preprocess(data)))

    def get_device(self) -> Any:
        """Return where the model is."""
        return self.device


def list_classes_from_module(module: ModuleType, parent_class: type | None = None) -> list[type]:
    """Return the classes that a module itself defines, by name."""
    found = [
        one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__
    ]
    return [one for one in found if parent_class is None or issubclass(one, parent_class)]


def load_label_mapping(mapping_file_path: str) -> dict[str, str] | None:
    """Read `index_to_name.json`; None where there is none."""
    file = Path(mapping_file_path)
    if not file.is_file():
        return None
    mapping = json.loads(file.read_text())
    if isinstance(names := mapping.get("object_type_names"), list):
        return {str(index): name for index, name in enumerate(names)}
    return {key: one[-1] if isinstance(one, list) else one for key, one in mapping.items()}


def map_class_to_label(
    probs: Sequence[Sequence[float]],
    mapping: Mapping[str, str] | None = None,
    lbl_classes: Sequence[Sequence[int]] | None = None,
) -> list[dict[str, float]]:
    """Return the probabilities of each row by the name of their class."""
    classes = lbl_classes or [range(len(row)) for row in probs]
    return [
        {str(one) if mapping is None else mapping[str(one)]: p for one, p in zip(known, row, strict=True)}
        for known, row in zip(classes, probs, strict=True)
    ]


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Measure nothing."""
    return function


def provide() -> None:
    """Let `ts` be imported, where there is no such package."""
    if "ts" in sys.modules or find_spec("ts") is not None:
        return
    content: dict[str, tuple[Any, ...]] = {
        "ts": (),
        "ts.context": (Context, RequestProcessor),
        "ts.handler_utils": (),
        "ts.handler_utils.timer": (timed,),
        "ts.torch_handler": (),
        BASE: (BaseHandler,),
        "ts.utils": (),
        "ts.utils.util": (
            PredictionException,
            list_classes_from_module,
            load_label_mapping,
            map_class_to_label,
        ),
    }
    for name, members in content.items():
        module = sys.modules[name] = ModuleType(name, __doc__)
        module.__path__ = []
        for member in members:
            setattr(module, member.__name__, member)
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own, module)
    BaseHandler.__module__ = BASE
