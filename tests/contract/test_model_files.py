"""What every framework does with files: its own, broken ones, and those of all the others."""

import shutil
import sys

import pytest

from tests.zoo import cases
from trivet.core.errors import FailedPrecondition
from trivet.core.signature import declare
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.registry import detect, frameworks, get_runtime

ALLOWED = Permissions(pickle=True)
CASES = [case for case in cases() if case.framework != "python"]
LIBRARIES = {
    "onnx": ["onnxruntime"],
    "sklearn": ["sklearn", "joblib"],
    "tensorflow": ["openvino", "tensorflow"],
}
OTHERS = [
    b"", b"\x00", b"{}", b"[]", b'{"inputs": []}', b"{l", b"CBM", b"tree", b"trees\n", b"\x08\x07", b"\x80",
    b"PK\x03\x04", b"BZh", b"x\x9c", b"\x1f\x8b", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY\x01\x00", b"GIF89a",
    b"%PDF-1.7", b"a,b\n1,2\n",
]  # fmt: skip


def file_of(path):
    """Return the file that says what a model is, for a folder that is one."""
    return path / "saved_model.pb" if path.is_dir() else path


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_is_recognised_by_its_content_and_by_one_framework_alone(case, zoo, tmp_path):
    shutil.copy(file_of(detect(zoo(case))[1]), tmp_path / "model.dat")
    found = [name for name, runtime in frameworks() if runtime.recognises(tmp_path / "model.dat")]
    assert found == [case.framework]


@pytest.mark.parametrize("content", OTHERS)
def test_other_files_are_nobodys(content, tmp_path):
    (tmp_path / "model").write_bytes(content)
    assert not any(runtime.recognises(tmp_path / "model") for _, runtime in frameworks())


def test_an_empty_folder_is_nobodys(tmp_path):
    assert not any(runtime.recognises(tmp_path) for _, runtime in frameworks())


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_truncated_file_is_refused_by_name(case, share, zoo, tmp_path):
    file = file_of(zoo(case))
    content = file.read_bytes()
    (tmp_path / file.name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FailedPrecondition, match=file.name):
        get_runtime(case.framework).load(Artifact(tmp_path / file.name, None, ALLOWED))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_missing_library_is_named_with_the_command_that_installs_it(case, zoo, monkeypatch):
    path = detect(zoo(case))[1]
    libraries = LIBRARIES.get(case.framework, [case.framework])
    for name in ("skops.io", *libraries) if path.suffix == ".skops" else libraries:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(FailedPrecondition, match=rf"pip install 'trivet\[{case.framework}\]'"):
        get_runtime(case.framework).load(Artifact(path, None, ALLOWED))


@pytest.mark.parametrize("case", [case for case in CASES if case.names], ids=str)
def test_the_names_in_a_file_are_those_of_the_instances(case, zoo):
    signature = get_runtime(case.framework).load(Artifact(detect(zoo(case))[1], None, ALLOWED)).signature
    assert list(signature.names) == list(case.names)
    assert declare(signature, signature) == signature
