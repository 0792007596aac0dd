"""Ray Data: read, `map_batches` with a class in an actor, 65,536 rows in a batch as Arrow, `write_json`."""

import os

os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"

import numpy as np
import pyarrow as pa
import ray
from common import NAMES, Model, asked


class Predict:
    """Holds the model, once for each actor."""

    def __init__(self, file: str) -> None:
        self._model = Model(file)

    def __call__(self, batch: pa.Table) -> pa.Table:
        columns = [batch.column(name).combine_chunks() for name in NAMES]
        matrix = np.column_stack([column.to_numpy() for column in columns])
        instance = pa.StructArray.from_arrays(columns, NAMES)
        return pa.table({"instance": instance, "prediction": pa.array(self._model(matrix))})


def main() -> None:
    ask = asked()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    rows = ray.data.read_csv(ask.input) if ask.format == "csv" else ray.data.read_json(ask.input)
    rows.map_batches(
        Predict,
        fn_constructor_args=[ask.model],
        batch_size=65_536,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    ).write_json(ask.output)


if __name__ == "__main__":
    main()
