import json
import os
import sys

import pytest
import yaml

from trivet.core.errors import AlreadyExists, FailedPrecondition
from trivet.platforms import schemas
from trivet.platforms.base import Bundle
from trivet.platforms.writing import write


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text("theirs")
    (tmp_path / "app/start.sh").write_text("start")
    (tmp_path / "app/start.sh").chmod(0o755)
    return Bundle(
        {"deploy.sh": "deploy", "image/Dockerfile": "ours"},
        {"a.yaml": [{"version": "1"}, {"b": 2}], "c.json": [{"d": 3}]},
        {"image": tmp_path / "app"},
        frozenset({"deploy.sh"}),
    )


def test_everything_is_written(bundle, tmp_path):
    out = tmp_path / "some/out"
    write(bundle, out)
    assert list(yaml.safe_load_all((out / "a.yaml").read_text())) == [{"version": "1"}, {"b": 2}]
    assert json.loads((out / "c.json").read_text()) == {"d": 3}
    assert (out / "image/Dockerfile").read_text() == "ours"
    assert [os.access(out / name, os.X_OK) for name in ("deploy.sh", "image/start.sh", "a.yaml")] == [
        True,
        True,
        False,
    ]


def test_nothing_is_overwritten(bundle, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("")
    with pytest.raises(AlreadyExists, match="expected a folder that is empty"):
        write(bundle, tmp_path / "out")


def test_what_fails_leaves_nothing(bundle, tmp_path):
    (tmp_path / "app/out").symlink_to("/etc/hostname")
    with pytest.raises(FailedPrecondition, match="leads out of the folder"):
        write(bundle, tmp_path / "out")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["app"]


def test_what_writes_yaml_is_said_where_it_is_missing(bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'trivet\[export\]'"):
        write(bundle, tmp_path / "out")


def test_what_is_not_checked_is_told_with_the_reason():
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}
    told = schemas.check(Bundle(documents={"k8s.yaml": [account, route]}))
    assert told.by == {"k8s.yaml": "Kubernetes 1.34"}
    ((why, kinds),) = told.left.items()
    assert "custom resources" in why
    assert kinds == ("HTTPRoute",)


def test_without_the_packages_nothing_is_checked_and_that_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes_validate", None)
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    told = schemas.check(Bundle(documents={"k8s.yaml": [account]}))
    assert told.by == {}
    assert list(told.left) == ["pip install 'trivet[export]' has the schemas"]


def test_what_is_wrong_is_named_by_file_and_field():
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": 3}}
    with pytest.raises(
        FailedPrecondition, match=r"k8s.yaml is not what Kubernetes 1.34 takes: metadata.name"
    ):
        schemas.check(Bundle(documents={"k8s.yaml": [account]}))
