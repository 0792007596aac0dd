"""What the RUN instructions of a Dockerfile install."""

import pytest

from trivet.containers.recipes import pip_commands


@pytest.mark.parametrize(
    ("script", "installs"),
    [
        ("pip install flask", [("flask",)]),
        ("pip3 install --no-cache-dir -r requirements.txt", [("-r", "requirements.txt")]),
        ("python -m pip install -q flask && python3.11 -m pip install numpy", [("flask",), ("numpy",)]),
        ("apt-get update; /usr/local/bin/pip install flask", [("flask",)]),
        ("uv pip install --system 'numpy<2'", [("numpy<2",)]),
        ("PIP_NO_CACHE_DIR=1 pip --no-cache-dir install flask", [("flask",)]),
        ("pip install torch -i $INDEX", [("torch", "-i", "https://a.example/simple")]),
        ("pip install --target /packages --root-user-action=ignore flask", [("flask",)]),
        ("pip install -e .", [(".",)]),
        ("pip install --upgrade pip", []),
        ("pip install -U pip setuptools", [("-U", "pip", "setuptools")]),
        ("pip install 'uvicorn[standard]>=0.3'", [("uvicorn[standard]>=0.3",)]),
        ("pip freeze", []),
        ("pipenv install", []),
        ("echo pip install flask", []),
        ("pip install a\npip install b", [("a",), ("b",)]),
    ],
)
def test_the_packages_of_a_script(script, installs):
    assert list(pip_commands.read(script, {"INDEX": "https://a.example/simple"}).installs) == installs


def test_other_commands_are_told():
    found = pip_commands.read("set -e; apt-get install -y curl && (make || true) | tee 'my log'", {})
    assert found.others == ("apt-get install -y curl", "make", "tee 'my log'")


def test_an_open_quote_is_refused():
    with pytest.raises(ValueError, match="quotation"):
        pip_commands.read("echo 'a", {})
