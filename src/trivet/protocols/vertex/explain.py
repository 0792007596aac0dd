"""`:explain`: what is predicted, and what each feature adds to it, in Vertex AI's form.

An explanation is a form of answer that a model has (`output: explanations`), queued and batched as any
other; here it is only written as `ExplainResponse` has it.
"""

from typing import Any

from trivet.codecs.json_body import BodyLimits, encode_predictions
from trivet.core.errors import Internal
from trivet.core.instances import Predictions
from trivet.core.signature import EXPLANATIONS
from trivet.protocols.base import encode_json
from trivet.protocols.predict import Envelope, ModelRoute
from trivet.serving.plane import DeployedModel


class ExplainRoute(ModelRoute):
    """Answers for a deployed model that explains."""

    def __init__(self, deployed: DeployedModel, envelope: Envelope, limits: BodyLimits) -> None:
        super().__init__(deployed, envelope, limits)
        self._defaults = {**self._defaults, "output": EXPLANATIONS}
        self._names = deployed.model.signature.features
        self._resolve = lambda given, defaults: {
            **deployed.model.signature.resolve(given, defaults),
            "output": EXPLANATIONS,
        }

    def _write(self, answer: Predictions) -> bytes:  # type: ignore[override]  # it needs the features' names
        """Write the predictions, and an explanation of each."""
        columns = answer.columns
        label = columns.get("predicted_class", columns.get("prediction"))
        if label is None or "attributions" not in columns:
            raise Internal("the model gave no explanations")
        return b'%b,"explanations":%b' % (
            encode_predictions(Predictions({"prediction": label}, answer.count)),
            encode_json(list(self._explanations(answer))),
        )

    def _explanations(self, answer: Predictions) -> Any:
        columns = answer.columns
        name = "predicted_class" if "predicted_class" in columns else "prediction"
        rows = zip(
            columns[name].tolist(),
            columns["baseline"].tolist(),
            columns["value"].tolist(),
            columns["attributions"].tolist(),
            strict=True,
        )
        for label, baseline, value, attributions in rows:
            one = {
                "baselineOutputValue": baseline,
                "instanceOutputValue": value,
                "featureAttributions": dict(zip(self._names, attributions, strict=True)),
                "outputName": name,
                "approximationError": 0.0,
            }
            if name == "predicted_class":
                one["outputDisplayName"] = str(label)
            yield {"attributions": [one]}
