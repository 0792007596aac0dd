"""Train three models on real data, serve them with one command, and ask them in every way, also in batch."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

TRIVET = [sys.executable, "-m", "trivet"]


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def train(folder: Path) -> None:
    import pandas as pd
    import skops.io
    import xgboost

    cancer = load_breast_cancer()
    boosted = GradientBoostingClassifier(n_estimators=50, random_state=0).fit(cancer.data, cancer.target)
    options = {id(boosted): {"zipmap": False}}
    onnx = to_onnx(boosted, cancer.data[:1].astype("float32"), options=options)
    (folder / "cancer.onnx").write_bytes(onnx.SerializeToString())
    print("cancer.onnx    scikit-learn gradient boosting, converted to ONNX: 569 patients, 30 numbers each")

    iris = load_iris(as_frame=True)
    table = iris.data.rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
    species = iris.target_names.astype(str)[iris.target]
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(table, species)
    skops.io.dump(logistic, folder / "iris.skops")
    print("iris.skops     scikit-learn pipeline: 150 flowers, 4 named columns, species as text")

    diabetes = load_diabetes()
    rows = pd.DataFrame(diabetes.data, columns=diabetes.feature_names)
    regressor = xgboost.XGBRegressor(n_estimators=50, n_jobs=1).fit(rows, diabetes.target)
    regressor.save_model(folder / "diabetes.ubj")
    print("diabetes.ubj   XGBoost regressor: 442 patients, 10 named numbers, any of them may be missing")


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    models = [str(folder / name) for name in ("cancer.onnx", "iris.skops", "diabetes.ubj")]
    print("$ trivet serve cancer.onnx iris.skops diabetes.ubj --port 0")
    server = subprocess.Popen([*TRIVET, "serve", *models, "--port", "0"], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        message = json.loads(line)["msg"]
        print(f"  {message}")
        if message.startswith("serving on "):
            return server, message.removeprefix("serving on ")
    raise SystemExit("the server did not start")


def ask(address: str, model: str, body: dict[str, object]) -> object:
    """Send a request with the standard library: any HTTP client will do."""
    text = json.dumps(body)
    print(f"$ curl {address}/v1/models/{model}:predict -d '{text[:150]}{'...' if len(text) > 150 else ''}'")
    request = urllib.request.Request(f"{address}/v1/models/{model}:predict", text.encode())
    try:
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        answer = json.load(error)
    print(f"  {json.dumps(answer)}")
    return answer


def call(address: str) -> None:
    flower = {"sepal_length": 6.0, "sepal_width": 2.9, "petal_length": 4.5, "petal_width": 1.5}
    say("An instance is an object by name, or an array in order; a classifier answers with labels")
    ask(address, "iris", {"instances": [flower, [5.1, 3.5, 1.4, 0.2]]})

    say("The caller chooses what to get, without a redeploy")
    ask(address, "iris", {"instances": [flower], "parameters": {"output": "detailed"}})

    say("Missing values are null, where the model takes them")
    ask(address, "diabetes", {"instances": [[0.04, 0.05, None, 0.02, -0.04, -0.03, None, 0.0, 0.02, -0.02]]})

    say("A mistake is named: which instance, which field, what was expected and what came")
    ask(address, "iris", {"instances": [flower, {**flower, "petal_width": "wide"}]})
    ask(address, "iris", {"instances": [[5.1, 3.5, 1.4]]})


def measure(address: str) -> None:
    """Ask one after the other on one connection: a feeling for it, not a benchmark."""
    import http.client

    row = load_breast_cancer().data[0].tolist()
    body = json.dumps({"instances": [row]})
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    seconds = []
    for _ in range(1000):
        started = time.perf_counter()
        connection.request("POST", "/v1/models/cancer:predict", body)
        connection.getresponse().read()
        seconds.append(time.perf_counter() - started)
    seconds.sort()
    print(f"1,000 requests of 30 numbers, one at a time: half of them within {seconds[500] * 1000:.2f} ms,")
    print(f"99 of 100 within {seconds[990] * 1000:.2f} ms, Python's own HTTP client included")


def batch(folder: Path) -> None:
    """Predict for a file of rows: no server is needed for that."""
    iris = load_iris()
    names = "sepal_length,sepal_width,petal_length,petal_width"
    rows = [",".join(map(str, row)) for row in iris.data]
    rows[7] = "5.0,wide,1.5,0.2"
    (folder / "flowers.csv").write_text("\n".join([names, *rows]) + "\n")
    print("$ trivet batch iris.skops --input flowers.csv --output out/", flush=True)
    command = ["batch", "iris.skops", "--input", "flowers.csv", "--output", "out/"]
    done = subprocess.run([*TRIVET, *command], cwd=folder, check=False)
    assert done.returncode == 3, "one row cannot be predicted"
    (results,) = (folder / "out").glob("*/prediction.results-*")
    print(f"  {results.read_text().splitlines()[0]}")


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        say("Train three models on data that comes with scikit-learn")
        train(folder)
        say("Serve them with one command; what they take is read from the files")
        server, address = start(folder)
        try:
            call(address)
            say("It is quick")
            measure(address)
            say("Look at a model without serving it")
            print("$ trivet inspect iris.skops", flush=True)
            subprocess.run([*TRIVET, "inspect", str(folder / "iris.skops")], check=True)
        finally:
            server.terminate()
            server.wait()
        say("The same model, for a whole file: a bad row costs only itself")
        batch(folder)
    say("Next")
    print("  .venv/bin/trivet --help        what else there is")
    print("  .venv/bin/trivet serve YOURS   .onnx .skops .joblib .ubj .json .txt .cbm, or a predictor.py")
    print("  docs/tutorial.md               step by step")


if __name__ == "__main__":
    main()
