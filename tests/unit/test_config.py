import json

import pytest

from trivet import config
from trivet.core.errors import InvalidArgument
from trivet.settings import Model


@pytest.fixture
def load(tmp_path):
    def load(toml="", flags=None, models=None, **environment):
        if toml:
            (tmp_path / "trivet.toml").write_text(toml)
        return config.load(flags, models, environment, tmp_path)

    return load


def test_defaults_are_safe(load):
    settings = load()
    assert settings.server.host == "127.0.0.1"
    assert settings.artifacts.allow_pickle is False
    assert set(settings.sources.values()) == {"default"}


def test_flags_win_over_the_environment_and_that_over_the_file(load, tmp_path):
    toml = "[server]\nport = 1\nhost = '::1'\n[batching]\nmax_rows = 8\n"
    settings = load(toml, {"server.port": 3}, TRIVET_SERVER_PORT="2", TRIVET_BATCHING_MAX_ROWS="16")
    assert (settings.server.port, settings.batching.max_rows, settings.server.host) == (3, 16, "::1")
    assert settings.sources["server.port"] == "flag"
    assert settings.sources["batching.max_rows"] == "TRIVET_BATCHING_MAX_ROWS"
    assert settings.sources["server.host"] == str(tmp_path / "trivet.toml")


SAMPLES = {
    "server.host": "0.0.0.0",
    "log.level": "error",
    "log.format": "json",
    "log.requests": "all",
    "artifacts.trusted_types": ("a.B", "c.D"),
    "artifacts.folders": ("/models", "/more"),
    "batch.folders": ("/in", "/out"),
    "sql.folders": ("/tables",),
    "sql.isolate": "never",
    "sql.memory": "4GB",
    "gateway.names": ("models.example.com",),
    "catalog.data": "/data",
    "catalog.url": "postgresql+psycopg:///trivet",
    "catalog.store": "gs://bucket/store",
    "catalog.project": "p",
    "catalog.location": "europe-west1",
    "storage.buckets": ("gs://a=/a", "gs://b=/b"),
    "container.predict_route": "/p",
    "container.health_route": "/h",
    "containers.engine": "process",
    "containers.images": ("a/b=/apps/b", "c=/apps/c"),
    "containers.cache": "/cache",
}


def other_than(key, default):
    """Return a value that a setting may have and does not have by default."""
    if key in SAMPLES:
        return SAMPLES[key]
    return not default if isinstance(default, bool) else type(default)(default + 1)


@pytest.mark.parametrize(("key", "default"), [(key, default) for key, _, default in config.known()])
def test_every_setting_can_be_given_by_file_and_by_environment(load, key, default):
    value = other_than(key, default)
    section, _, name = key.partition(".")
    as_toml = json.dumps(list(value) if isinstance(value, tuple) else value)
    as_text = ",".join(value) if isinstance(value, tuple) else str(value)
    variable = f"TRIVET_{section}_{name}".upper()
    for settings in (load(f"[{section}]\n{name} = {as_toml}\n"), load(**{variable: as_text})):
        assert getattr(getattr(settings, section), name) == value


@pytest.mark.parametrize(
    ("toml", "environment", "message"),
    [
        ("[server]\nprot = 1", {}, "server.prot: unknown setting; did you mean server.port?"),
        ("[serve]\nport = 1", {}, "serve.port: unknown setting; did you mean server.port?"),
        ("[models.a]\npth = 'x'", {}, "models.a.pth: unknown setting; did you mean path?"),
        ("[server]\nport = 'x'", {}, "server.port: Expected `int`, got `str`; got 'x'"),
        ("[server]\nport = 70000", {}, "server.port: Expected `int` <= 65535; got 70000"),
        ("[log]\nlevel = 'loud'", {}, "log.level: Invalid enum value 'loud'; got 'loud'"),
        ("port = 1", {}, "port: expected a table, [port]"),
        ("[models]\na = 'x'", {}, 'models.a: expected a table, [models."a"]'),
        ("[models.'a/b']\npath = 'x'", {}, "model name 'a/b'"),
        ("[server", {}, "trivet.toml"),
        (
            "",
            {"TRIVET_SERVER_PROT": "1"},
            "TRIVET_SERVER_PROT: unknown setting; did you mean TRIVET_SERVER_PORT?",
        ),
        ("", {"TRIVET_SERVER_PORT": "x"}, "TRIVET_SERVER_PORT: Expected `int`, got `str`; got 'x'"),
        ("", {"TRIVET_CONFIG": "/nowhere.toml"}, "TRIVET_CONFIG: there is no file /nowhere.toml"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_nearest_known(load, toml, environment, message):
    with pytest.raises(InvalidArgument) as caught:
        load(toml, **environment)
    assert message in str(caught.value)


def test_models_of_the_file_are_found_beside_it(load, tmp_path):
    settings = load(
        "[models.'fraud@2']\npath = 'models/f.cbm'\nmax_rows = 8\n[models.far]\npath = 'gs://b/m'"
    )
    assert settings.models == {
        "fraud@2": Model(path=str(tmp_path / "models/f.cbm"), max_rows=8),
        "far": Model(path="gs://b/m"),
    }
    assert settings.sources["models.far"] == str(tmp_path / "trivet.toml")


def test_models_of_the_command_line_replace_those_of_the_file(load):
    settings = load("[models.a]\npath = 'a'", models={"b": Model(path="b")})
    assert list(settings.models) == ["b"]


def test_a_platform_says_where_to_listen_and_what_to_serve(load):
    settings = load(
        AIP_HTTP_PORT="9000",
        AIP_PREDICT_ROUTE="/x:predict",
        AIP_HEALTH_ROUTE="/h",
        AIP_STORAGE_URI="gs://b/m",
    )
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 9000)
    assert (settings.container.predict_route, settings.container.health_route) == ("/x:predict", "/h")
    assert settings.models == {"model": Model(path="gs://b/m")}


def test_our_own_variables_win_over_the_platforms(load):
    settings = load(AIP_HTTP_PORT="9000", TRIVET_SERVER_HOST="127.0.0.1", TRIVET_SERVER_PORT="1")
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 1)
