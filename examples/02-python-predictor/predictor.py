"""A predictor of your own: any Python, any JSON in, any JSON out."""

import json
from pathlib import Path

from trivet import InvalidArgument


class Predictor:
    """Finds the language of a text by its most frequent words."""

    example = "the cat and the dog"

    def load(self, artifact: str) -> None:
        """Read the words of each language from the file beside this one."""
        self.words = {
            language: set(words)
            for language, words in json.loads((Path(artifact) / "words.json").read_text()).items()
        }

    def predict(self, instances: list, parameters: dict) -> list:
        """Return a language and a score for each text."""
        return [self.one(text, parameters.get("fallback", "unknown")) for text in instances]

    def one(self, text: object, fallback: str) -> dict:
        if not isinstance(text, str):
            raise InvalidArgument(f"expected a text; got {type(text).__name__}")
        found = text.lower().split()
        scores = {
            language: sum(word in words for word in found) / max(len(found), 1)
            for language, words in self.words.items()
        }
        best = max(scores, key=scores.__getitem__)
        return {"language": best if scores[best] else fallback, "score": round(scores[best], 3)}
