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
    """Return the numbers of an instance, which is a list or, as SQL sends it, an object."""
    values = list(instance.values()) if isinstance(instance, dict) else instance
    if not isinstance(values, list) or not all(type(one) in (int, float) for one in values):
        raise ValueError(f"{name}: expected a list of numbers")
    return values
