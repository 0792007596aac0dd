"""PyTorch models: programs of `torch.export` (.pt2), TorchScript (.pt), and TorchServe's archives (.mar).

Programs and scripts are answered by PyTorch itself, as it answers the model that they were made of. An
archive is answered by the handler in it, which is Python code (see `torch_handler`). What `torch.save` wrote
is no model: it holds weights, without what computes with them.

Everything runs on the GPU if PyTorch sees one, else on one thread of the CPU, unless `OMP_NUM_THREADS` asks
for more.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from trivet.core.errors import FailedPrecondition
from trivet.core.predictor import Predictor
from trivet.runtimes.base import Artifact, head, need
from trivet.runtimes.torch_files import kind

_OLD_PICKLE = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # of torch.save before PyTorch 1.6
_EXPORT = (
    "torch.export.save(torch.export.export(model.eval(), (example,), "
    "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), 'model.pt2')"
)


class TorchRuntime:
    """Loads in a process of its own: PyTorch computes with threads, and archives are Python code."""

    own_process: Literal[True] = True

    def recognises(self, path: Path) -> bool:
        """Look at the names in a zip archive, or for the manifest of an unpacked one."""
        return bool(kind(path))

    def load(self, artifact: Artifact) -> Predictor:
        """Load by what the file is.

        Raises FailedPrecondition where PyTorch is missing, where the file is none that can be served or does
        not fit its `signature.json`, and PermissionDenied where it could run code that nobody allowed.
        """
        path = artifact.path
        found = kind(path)
        if found == "archive":
            artifact.require_python()
        torch = need("torch", "torch")
        _keep_to_one_thread(torch)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        match found:
            case "export":
                from trivet.runtimes.torch_export import load_export

                return load_export(artifact, torch, device)
            case "script":
                from trivet.runtimes.torch_script import load_script

                return load_script(artifact, torch, device)
            case "archive":
                from trivet.runtimes.torch_handler import load_archive

                return load_archive(artifact, device)
        if head(path, len(_OLD_PICKLE)) == _OLD_PICKLE:
            found = "pickle"
        raise FailedPrecondition(f"{path.name} {_REFUSED[found]}")


_REFUSED = {
    "": "cannot be read as a PyTorch model: expected a file of torch.export.save, torch.jit.save or "
    "torch-model-archiver",
    "pickle": "is what torch.save wrote: weights, or a pickled object, but no model that computes. With the "
    f"model's code at hand, export it: {_EXPORT}",
    "old export": f"was exported by an old version of PyTorch; export it again: {_EXPORT}",
}


def _keep_to_one_thread(torch: Any) -> None:
    """Have each process use one core, as all frameworks do, where the user has not asked for more."""
    if "OMP_NUM_THREADS : [not set]" in torch.__config__.parallel_info():
        torch.set_num_threads(1)
    with suppress(RuntimeError):  # it can be said once, before anything ran
        torch.set_num_interop_threads(1)


RUNTIME = TorchRuntime()
