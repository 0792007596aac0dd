"""Trivet as a prediction container: everything by `AIP_*`, the artifact from a bucket."""

import contextlib
import shutil
import socket
import threading
from urllib.parse import unquote

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.integration.server import serve
from tests.zoo import cases

CASES = {case.name: case for case in cases()}
ROUTE = "/v1/endpoints/123/deployedModels/456"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture
def bucket():
    """Google Cloud Storage's JSON API over a dict of objects: what gcsfs needs to list and read."""
    objects = {}

    async def listing(request):
        prefix, delimiter = request.query_params.get("prefix", ""), request.query_params.get("delimiter")
        found = {name for name in objects if name.startswith(prefix)}
        below = {name for name in found if delimiter and delimiter in name[len(prefix) :]}
        prefixes = sorted({prefix + name[len(prefix) :].split(delimiter)[0] + delimiter for name in below})
        return JSONResponse(
            {"prefixes": prefixes, "items": [described(name) for name in sorted(found - below)]}
        )

    def described(name):
        return {"name": name, "bucket": "b", "size": str(len(objects[name])), "generation": "1", "id": name}

    async def one(request):
        name = unquote(request.path_params["name"])
        if name not in objects:
            return JSONResponse({"error": {"code": 404, "message": "Not Found"}}, 404)
        if request.query_params.get("alt") == "media" or request.url.path.startswith("/download"):
            return Response(objects[name], media_type="application/octet-stream")
        return JSONResponse(described(name))

    app = Starlette(
        routes=[
            Route("/storage/v1/b/b/o", listing),
            Route("/storage/v1/b/b/o/{name:path}", one),
            Route("/download/storage/v1/b/b/o/{name:path}", one),
        ]
    )
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        pass
    yield objects, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def contract(**more):
    return {
        "AIP_HTTP_PORT": str(free_port()),
        "AIP_HEALTH_ROUTE": ROUTE,
        "AIP_PREDICT_ROUTE": f"{ROUTE}:predict",
        "TRIVET_SERVER_HOST": "127.0.0.1",
        **more,
    }


def test_the_contract_with_an_artifact_on_disk(zoo, tmp_path):
    case = CASES["sklearn-logistic"]
    shutil.copy(zoo(case), tmp_path / "model.skops")
    with serve(**contract(AIP_STORAGE_URI=str(tmp_path))) as server:
        assert server.client.get(ROUTE).status_code == 200
        body = '{"instances": [[5.1, 3.5, 1.4, 0.2]], "parameters": null}'
        answer = server.client.post(
            f"{ROUTE}:predict", content=body, headers={"Content_Type": "application/json"}
        )
        assert answer.json() == {"predictions": ["setosa"]}
        assert server.client.get(f"{ROUTE}:predict").status_code == 405
        assert server.client.post(ROUTE, content=b"{}").status_code == 405
        assert server.client.post(f"{ROUTE}:explain", content=b"{}").status_code == 404


def test_health_is_not_200_before_the_model_is_loaded(tmp_path):
    (tmp_path / "predictor.py").write_text(
        "from pathlib import Path\n"
        "while not Path(__file__).with_name('go').exists():\n    pass\n"
        "class Predictor:\n    def predict(self, instances):\n        return instances\n"
    )
    told = contract(AIP_STORAGE_URI=str(tmp_path))
    with serve(wait="", **told) as server:
        server.url = f"http://127.0.0.1:{told['AIP_HTTP_PORT']}"
        response = None
        while response is None:
            with contextlib.suppress(httpx.ConnectError):
                response = server.client.get(ROUTE)
        assert response.status_code == 503
        early = server.client.post(f"{ROUTE}:predict", content=b'{"instances": [1]}')
        assert (early.status_code, early.json()["error"]["status"]) == (503, "UNAVAILABLE")
        (tmp_path / "go").touch()
        while server.client.get(ROUTE).status_code != 200:
            pass
        late = server.client.post(f"{ROUTE}:predict", content=b'{"instances": [1]}')
        assert late.json() == {"predictions": [1]}


def test_an_artifact_is_fetched_from_a_bucket(zoo, bucket):
    objects, address = bucket
    case = CASES["sklearn-logistic"]
    objects["models/iris/model.skops"] = zoo(case).read_bytes()
    objects["models/iris/notes/readme.txt"] = b"not a model"
    told = contract(AIP_STORAGE_URI="gs://b/models/iris", STORAGE_EMULATOR_HOST=address)
    with serve(**told) as server:
        answer = server.client.post(f"{ROUTE}:predict", json={"instances": case.rows[:1]})
        assert answer.json() == {"predictions": ["setosa"]}


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("gs://b/models/none", "gs://b/models/none: there is nothing at this address"),
        ("gs://b/evil", "leads out of its folder"),
    ],
)
def test_what_cannot_be_fetched_says_why(bucket, location, message):
    objects, address = bucket
    objects["evil/../../../out.onnx"] = b"x"
    told = contract(AIP_STORAGE_URI=location, STORAGE_EMULATOR_HOST=address)
    with serve(wait="", **told) as server:
        assert server.process.wait(60) == 1
        assert message in server.told()


def test_several_models_have_no_single_predict_route():
    with serve("a=echo:", "b=echo:", **contract()) as server:
        answer = server.client.post(f"{ROUTE}:predict", content=b'{"instances": [1]}')
        assert answer.status_code == 400
        assert "answers for one model; this server has: a, b" in answer.json()["error"]["message"]
