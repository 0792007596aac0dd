"""Every model of the zoo can be imported, and is then an ordinary version whose columns are known."""

import pytest

from tests.unit.sql.models import opened
from tests.zoo import cases

TYPES = {"torch": "PYTORCH"}
SEVERAL = {"xgboost-multiclass", "xgboost-targets"}
"""XGBoost models without names that give several numbers a row."""


def clauses(case):
    """Return the INPUT and OUTPUT that a model needs."""
    if case.framework != "xgboost" or case.names:
        return ""
    columns = ", ".join(f"f{i} FLOAT64" for i in range(len(case.rows[0])))
    return f"INPUT({columns}) OUTPUT(y {'ARRAY<FLOAT64>' if case.name in SEVERAL else 'FLOAT64'})"


@pytest.mark.parametrize("case", cases(), ids=str)
def test_every_model_of_the_zoo_is_imported(case, zoo, tmp_path):
    world = opened(tmp_path)
    type_ = TYPES.get(case.framework, case.framework.upper())
    world.run(f"CREATE MODEL ds.m {clauses(case)} OPTIONS(model_type='{type_}', model_path='{zoo(case)}')")
    made = world.find("ds.m")
    (version,) = world.versions("ds-m")
    assert (made.type, version.framework) == (type_, case.framework)
    assert made.outputs
    if case.names:
        assert {one.name for one in made.inputs} == set(case.names)
    assert len({one.name.lower() for one in made.outputs}) == len(made.outputs)
    world.place.close()
