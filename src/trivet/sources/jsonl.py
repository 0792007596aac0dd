"""Lines of JSON: each is a value, given as it stands; whether it is JSON is for who decodes it to say.

Blank lines are no records, but count where records are told by their lines.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from trivet.core.batch import Kind, Shard
from trivet.sources.base import Inputs, Records, Unreadable, Values
from trivet.sources.lines import KEPT, Block, LineEnds, TextFiles, numbered

NOT_UTF8 = "not UTF-8"


@dataclass(frozen=True, slots=True)
class JsonLines:
    """The source of JSONL files."""

    kind: Kind = field(default="values", init=False)

    def plan(self, inputs: Inputs) -> Iterator[Shard]:
        """Cut files at line ends."""
        text = TextFiles(LineEnds(), inputs)
        found = text.files.find(inputs.uris)
        return numbered(shard for file in found for shard in text.shards(file, text.look(file)))

    def read(self, shard: Shard, inputs: Inputs) -> Iterator[Records]:
        """Read lines."""
        offset = shard.first
        for block in TextFiles(LineEnds(), inputs).blocks(shard):
            records, offset = lines(block, offset)
            yield records


def lines(block: Block, offset: int) -> tuple[Values, int]:
    """Return the lines of a block, whose first is at an offset, and the offset after them."""
    if block.problem:
        unreadable = Unreadable(offset, block.text, block.problem)
        return Values((), (unreadable,), block.size, ()), offset + 1
    text = block.text
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    texts = text.split(b"\n")
    if not texts[-1]:
        texts.pop()
    offsets = range(offset, offset + len(texts))
    spaced = any(byte in text for byte in b" \t\r\v\f")  # compact JSON has none of them
    if not all(texts) or (spaced and any(map(bytes.isspace, texts))) or not is_utf8(text):
        return _with_care(texts, offsets, block.size), offsets.stop
    return Values(offsets, (), block.size, texts), offsets.stop


def _with_care(texts: list[bytes], offsets: range, size: int) -> Values:
    """Leave out what is blank, and set aside what is not UTF-8."""
    kept = [(at, text) for at, text in zip(offsets, texts, strict=True) if text and not text.isspace()]
    good = [(at, text) for at, text in kept if is_utf8(text)]
    bad = [Unreadable(at, text[:KEPT], NOT_UTF8) for at, text in kept if not is_utf8(text)]
    return Values([at for at, _ in good], bad, size, [text for _, text in good])


def is_utf8(text: bytes) -> bool:
    """Whether bytes are text; half a surrogate pair is not."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


SOURCE = JsonLines()
