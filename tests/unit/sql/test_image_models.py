"""Images in queries go into models: floats, and integers where the model takes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.sql.test_images import PHOTO, encoded
from trivet.core.errors import InvalidArgument
from trivet.sql import connect


def mean_of_channels(folder: Path, kind: int) -> Path:
    """Write a model that takes images of two by two pixels, and gives the mean of each channel."""
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("x", kind, [None, 2, 2, 3])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["y"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "g", [given], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from onnx import TensorProto

    folder = tmp_path_factory.mktemp("images")
    with connect(":memory:", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA IF NOT EXISTS ds")
        for name, kind in (("floats", TensorProto.FLOAT), ("integers", TensorProto.UINT8)):
            path = mean_of_channels(folder / name, kind)
            connection.sql(f"CREATE MODEL ds.{name} OPTIONS(model_type='ONNX', model_path='{path}')")
        connection.sql("CREATE TABLE ds.photos AS SELECT 1 AS id, @data AS data", {"data": encoded(PHOTO)})
        yield connection


def test_a_picture_is_decoded_resized_and_predicted(con: Any) -> None:
    text = """
      SELECT id, y FROM ML.PREDICT(MODEL ds.floats,
        (SELECT id, ML.RESIZE_IMAGE(ML.DECODE_IMAGE(data), 2, 2, FALSE) AS x FROM ds.photos))
    """
    [(id_, means)] = con.sql(text).fetchall()
    assert id_ == 1
    assert 0 < min(means) < max(means) < 1


def test_a_model_of_integers_takes_integers(con: Any) -> None:
    con.sql("CREATE TABLE ds.decoded AS SELECT ML.DECODE_IMAGE(data) AS image FROM ds.photos")
    image = "ML.RESIZE_IMAGE(image, 2, 2, FALSE)"
    rows = f"SELECT ML.CONVERT_IMAGE_TYPE({image}) AS x FROM ds.decoded"
    [(integers,)] = con.sql(f"SELECT y FROM ML.PREDICT(MODEL ds.integers, ({rows}))").fetchall()
    [(floats,)] = con.sql(
        f"SELECT y FROM ML.PREDICT(MODEL ds.floats, (SELECT {image} AS x FROM ds.decoded))"
    ).fetchall()
    assert np.allclose(integers, np.array(floats) * 255, atol=1)


def test_types_are_those_of_bigquery(con: Any) -> None:
    result = con.sql(
        "SELECT ML.DECODE_IMAGE(data) AS a, ML.CONVERT_IMAGE_TYPE(ML.DECODE_IMAGE(data)) AS b FROM ds.photos"
    )
    assert [str(one.type) for one in result.fields] == [
        "STRUCT<_field_1 ARRAY<INT64>, _field_2 ARRAY<FLOAT64>>",
        "STRUCT<_field_1 ARRAY<INT64>, _field_2 ARRAY<INT64>>",
    ]
    con.sql("CREATE TABLE ds.kept AS SELECT ML.CONVERT_IMAGE_TYPE(ML.DECODE_IMAGE(data)) AS b FROM ds.photos")
    again = con.sql("SELECT ML.RESIZE_IMAGE(b, 1, 1, TRUE) AS c FROM ds.kept")
    assert [str(one.type.fields[1].type) for one in again.fields] == ["ARRAY<INT64>"]


def test_what_is_no_picture_is_told_without_words_of_duckdb(con: Any) -> None:
    with pytest.raises(InvalidArgument) as raised:
        con.sql("SELECT ML.DECODE_IMAGE(b'no picture') AS x").fetchall()
    said = str(raised.value)
    assert said == "ML.DECODE_IMAGE: the image cannot be decoded: it is neither JPEG, PNG nor BMP"
