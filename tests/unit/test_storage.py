import pytest

from trivet import storage
from trivet.core.errors import FailedPrecondition, InvalidArgument


@pytest.mark.parametrize("location", ["models/a.onnx", "/models/a b.onnx"])
def test_a_path_stays_what_it_is(tmp_path, location):
    assert str(storage.fetch(location, tmp_path)) == location


def test_a_file_uri_is_a_path(tmp_path):
    assert str(storage.fetch("file:///models/a%20b.onnx", tmp_path)) == "/models/a b.onnx"


@pytest.mark.parametrize("location", ["http://host/m.onnx", "ftp://host/m", "memory://m", "local:///m"])
def test_other_schemes_are_refused(tmp_path, location):
    with pytest.raises(InvalidArgument, match="scheme file, gs or s3; got"):
        storage.fetch(location, tmp_path)


def test_a_missing_client_library_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'trivet\[s3\]'"):
        storage.fetch("s3://bucket/m", tmp_path)
