"""The model. This one adds up the numbers of each instance: put yours in its place."""

from typing import Any


class Model:
    """Made once in each worker, before it listens: load here what it needs."""

    def predict(self, instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        """Return one prediction for each instance; a ValueError is for what the caller should mend."""
        return [sum(numbers(instance, f"instances[{index}]")) for index, instance in enumerate(instances)]

    def detail(self, instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        """Return one prediction for each instance, with how it came about."""
        return [
            {"prediction": prediction, "count": len(instance)}
            for instance, prediction in zip(instances, self.predict(instances, parameters), strict=True)
        ]


def numbers(instance: Any, name: str) -> list[float]:
    """Return the numbers of an instance; `name` is what the caller would call it."""
    if not isinstance(instance, list) or not all(type(one) in (int, float) for one in instance):
        raise ValueError(f"{name}: expected a list of numbers")
    return instance
