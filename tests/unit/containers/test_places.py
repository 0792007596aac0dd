"""Paths, addresses and ports of an image, where its application runs as a process."""

import pytest

from trivet.containers.processes.places import Places, on_loopback, on_port


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root/app/lib").mkdir(parents=True)
    (tmp_path / "root/app/start.sh").touch()
    (tmp_path / "root/usr/local/share").mkdir(parents=True)
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/gunicorn").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ("/app/start.sh", "{root}/app/start.sh"),
        (
            "cd /app && exec ./start.sh --log=/app/lib/new.log",
            "cd {root}/app && exec ./start.sh --log={root}/app/lib/new.log",
        ),
        ("/usr/bin:/app:/bin", "/usr/bin:{root}/app:/bin"),
        ("/usr/local/bin/gunicorn", "{env}/bin/gunicorn"),
        ("/usr/bin/env", "/usr/bin/env"),
        ("/other/app", "/other/app"),
        ("http://host/app", "http://host/app"),
        ("http://app/lib gs://app/lib", "http://app/lib gs://app/lib"),
        ("app/lib", "app/lib"),
        ("/", "/"),
    ],
)
def test_paths_of_the_images_files_are_changed(root, text, here):
    places = Places(root / "root", root / "env")
    assert places.in_text(text) == here.format(root=root / "root", env=root / "env")


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["uvicorn", "--host", "0.0.0.0"], ["uvicorn", "--host", "127.0.0.1"]),
        (["sh", "-c", "gunicorn --bind :$PORT a"], ["sh", "-c", "gunicorn --bind 127.0.0.1:$PORT a"]),
        (["sh", "-c", "gunicorn -b :8080 a"], ["sh", "-c", "gunicorn -b 127.0.0.1:8080 a"]),
        (["gunicorn", "--bind=0.0.0.0:8080"], ["gunicorn", "--bind=127.0.0.1:8080"]),
        (["gunicorn", "-b", ":8080"], ["gunicorn", "-b", "127.0.0.1:8080"]),
        (["a", "10.0.0.0.0"], ["a", "10.0.0.0.0"]),
    ],
)
def test_commands_listen_on_this_machine_alone(words, changed):
    assert list(on_loopback(words)) == changed


@pytest.mark.parametrize(
    ("word", "changed"),
    [("8080", "9"), ("--port=8080", "--port=9"), (":8080", ":9"), ("18080", "18080"), ("v8080", "v8080")],
)
def test_the_port_that_a_command_names_is_the_one_that_there_is(word, changed):
    assert on_port([word], 8080, 9) == (changed,)
