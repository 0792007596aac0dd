from dataclasses import replace
from pathlib import Path

from trivet.control.seed import seed
from trivet.core.names import ModelRef
from trivet.serving.batching import BatchLimits
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.wish import Address, Wish


def test_what_is_served_already_is_wished_for_just_so(server):
    file = server.artifact() / "predictor.py"
    limits = BatchLimits(max_rows=7, max_wait=0.5, max_queued_rows=70, timeout=3)
    specs = (
        ModelSpec(ModelRef("Fraud.x", "1"), file, "python", "labels", "process", 3, limits),
        ModelSpec(ModelRef("Fraud.x", "2"), file, "python"),
        ModelSpec(ModelRef("echo", "canary"), Path(), "echo"),
    )
    wish = Wish(
        0,
        specs,
        (
            Address(("Fraud.x",), {specs[1].id: 100}, {"1": specs[0].id, "2": specs[1].id}),
            Address(("echo",), {specs[2].id: 100}, {"canary": specs[2].id}),
        ),
    )
    for _ in range(2):
        seed(server.catalog, server.store, server.settings, wish)
    wished = server.plane.wish()
    assert wished.revision == 1
    known = {spec.id: replace(spec, model="", display_name="") for spec in wished.models}
    assert known == {
        **{spec.id: spec for spec in specs[:2]},
        "echo-canary": replace(specs[2], ref=ModelRef("echo", "1"), id="echo-canary"),
    }
    first, second = wished.addresses
    assert first.names == ("local/us-central1/Fraud.x", "Fraud.x")
    assert (first.split, first.versions) == ({"Fraud.x-2": 100}, {"1": "Fraud.x-1", "2": "Fraud.x-2"})
    assert second.versions == {"1": "echo-canary"}
