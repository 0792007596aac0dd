"""A CatBoost classifier, `model.cbm` among the model's files."""

from typing import Any

from catboost import CatBoostClassifier

from app.files import files


class Model:
    """Made once in each worker, before it listens."""

    def __init__(self) -> None:
        self._model = CatBoostClassifier().load_model(str(files() / "model.cbm"))
        self._classes = [str(one) for one in self._model.classes_]
        self._names = self._model.feature_names_

    def predict(self, instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        """Return the probabilities of the classes, for each instance.

        A ValueError is for what the caller should mend.
        """
        rows = [self._row(instance, f"instances[{index}]") for index, instance in enumerate(instances)]
        return self._model.predict_proba(rows, thread_count=1).tolist() if rows else []

    def detail(self, instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        """Return the probabilities of each instance with the classes that they are of, and the likeliest."""
        return [
            {
                "classes": self._classes,
                "scores": scores,
                "predicted_class": self._classes[scores.index(max(scores))],
            }
            for scores in self.predict(instances, parameters)
        ]

    def _row(self, instance: Any, name: str) -> list[Any]:
        """Return the features of an instance, a list or, as SQL sends it, an object."""
        if isinstance(instance, dict) and instance.keys() >= set(self._names):
            return [instance[feature] for feature in self._names]
        if not isinstance(instance, list) or len(instance) != len(self._names):
            raise ValueError(f"{name}: expected a list or an object of {', '.join(self._names)}")
        return instance
