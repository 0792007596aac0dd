"""The environment of an application."""

from trivet.containers.environment import own_storage, variables
from trivet.core.containers import ContainerSpec


def env(emulator="", storage_uri="", **of_spec):
    return variables(ContainerSpec(**of_spec), 9000, storage_uri=storage_uri, emulator=emulator)


def test_the_variables_of_the_contract_are_there():
    about = (("AIP_ENDPOINT_ID", "7"), ("AIP_PROJECT_NUMBER", "local"))
    routes = {"predict_route": "/p", "health_route": "/h"}
    assert env(about=about, **routes, storage_uri="gs://b/m", emulator="http://x") == {
        "PORT": "9000",
        "STORAGE_EMULATOR_HOST": "http://x",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "AIP_MODE": "PREDICTION",
        "AIP_MODE_VERSION": "1.0.0",
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        "AIP_ENDPOINT_ID": "7",
        "AIP_PROJECT_NUMBER": "local",
        "AIP_HTTP_PORT": "9000",
        "AIP_HEALTH_ROUTE": "/h",
        "AIP_PREDICT_ROUTE": "/p",
        "AIP_STORAGE_URI": "gs://b/m",
    }  # fmt: skip


def test_the_storage_uri_is_empty_without_files():
    assert env()["AIP_STORAGE_URI"] == ""
    assert "STORAGE_EMULATOR_HOST" not in env()


def test_users_have_variables_of_their_own_but_not_those_of_the_contract():
    made = env(env=(("MODULE_NAME", "main2"), ("PORT", "80"), ("AIP_HTTP_PORT", "80")))
    assert (made["MODULE_NAME"], made["PORT"], made["AIP_HTTP_PORT"]) == ("main2", "80", "9000")


def test_nothing_of_the_servers_own_goes_in(monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    assert "SECRET" not in env()


def test_users_may_read_cloud_storage_in_a_way_of_their_own():
    assert not own_storage(ContainerSpec())
    assert own_storage(ContainerSpec(env=(("GOOGLE_APPLICATION_CREDENTIALS", "/key.json"),)))
    assert own_storage(ContainerSpec(env=(("STORAGE_EMULATOR_HOST", "http://fake"),)))
