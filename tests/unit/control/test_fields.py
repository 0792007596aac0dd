import pytest

from trivet.control.fields import aliases, camel, check_id, display_name, labels, masked, merged, text
from trivet.control.options import Options, duration, options
from trivet.core.errors import InvalidArgument
from trivet.serving.batching import BatchLimits


@pytest.mark.parametrize("id_", ["a", "1", "4711", "a-b", "a" * 63])
def test_ids_that_google_takes(id_):
    assert check_id(id_, "endpointId") == id_


def test_models_may_have_underscores():
    assert check_id("my_model-2", "modelId") == "my_model-2"
    with pytest.raises(
        InvalidArgument, match=r"endpointId 'my_endpoint': expected 1 to 63 of a-z 0-9 -, with"
    ):
        check_id("my_endpoint", "endpointId")


@pytest.mark.parametrize(
    "given", [{"team": "a_b-1"}, {"größe": "klein"}, {"aiplatform.googleapis.com/x": ""}]
)
def test_labels_that_google_takes(given):
    assert labels({"labels": given}, "model") == given


@pytest.mark.parametrize("given", [{"": ""}, {"1a": ""}, {"a b": ""}, {"a": 1}, {"a": "b" * 65}, ["a"]])
def test_labels_that_are_refused(given):
    with pytest.raises(InvalidArgument, match=r"model\.labels"):
        labels({"labels": given}, "model")


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x85", "\n"])
def test_control_characters_are_refused_by_name(character):
    """They would end up in terminals, logs and headers."""
    name = f"U\\+{ord(character):04X}"
    value = f"a{character}b"
    with pytest.raises(InvalidArgument, match=rf"model\.displayName: has the control character {name}"):
        display_name({"displayName": value}, "model")
    with pytest.raises(InvalidArgument, match=rf"model\.labels\['x'\]: has the control character {name}"):
        labels({"labels": {"x": value}}, "model")
    with pytest.raises(InvalidArgument, match=rf"model\.labels: key .*: has the control character {name}"):
        labels({"labels": {f"aiplatform.googleapis.com/{value}": "x"}}, "model")
    for field in ("description", "versionDescription"):
        if character != "\n":
            with pytest.raises(InvalidArgument, match=rf"model\.{field}: has the control character {name}"):
                text({field: value}, field, "model")


def test_descriptions_may_have_lines():
    assert text({"description": "a\r\n\tb"}, "description", "model") == "a\r\n\tb"


def test_an_alias_counts_once():
    assert aliases(["blue", "green", "blue"], "x") == ("blue", "green")
    with pytest.raises(InvalidArgument, match="expected a list"):
        aliases("blue", "x")


def test_paths_come_in_either_case():
    assert camel("display_name") == "displayName"
    assert camel("dedicatedResources.min_replica_count") == "dedicatedResources.minReplicaCount"
    assert camel("labels.my_team") == "labels.my_team", "a label's key is the user's own"


def test_masks():
    allowed = ("a", "b.c", "b.d")
    changes = {"a": 1, "b": {"c": 2, "x": 3}, "z": 4}
    assert masked(changes, [], allowed, "it") == ["a", "b.c"]
    assert masked(changes, ["*"], allowed, "it") == ["a", "b.c"]
    assert masked(changes, ["b"], allowed, "it") == ["b.c"]
    assert masked(changes, ["b.d", "a.e"], allowed, "it") == ["b.d", "a.e"]
    for path in ("z", "b.x", "aa"):
        with pytest.raises(
            InvalidArgument, match=rf"updateMask: it\.{path} cannot be changed; what can: a, b.c"
        ):
            masked(changes, [path], allowed, "it")


def test_merging_changes_nothing_beside_the_paths():
    document = {"a": 1, "b": {"c": 2, "d": 3}, "e": [4]}
    assert merged(document, {"b": {"c": 9, "d": 9}}, ["b.c", "e", "f.g"]) == {
        "a": 1,
        "b": {"c": 9, "d": 3},
    }
    assert document == {"a": 1, "b": {"c": 2, "d": 3}, "e": [4]}


def test_options_are_named_where_they_are_wrong():
    assert options({}, "model") == Options()
    read = options({"trivet": {"maxRows": 5, "timeout": 2.5}}, "model")
    assert read.limits(BatchLimits()) == BatchLimits(max_rows=5, timeout=2.5)
    for given, message in (
        ({"maxWait": float("inf")}, r"model\.trivet\.maxWait: expected a finite number"),
        ({"maxRows": "5"}, r"model\.trivet\.maxRows: Expected `int \| null`, got `str`; got '5'"),
        ([], r"model\.trivet: Expected `object`, got `array`"),
        ({"maxrows": 5}, r"model\.trivet\.maxrows: unknown field; did you mean 'maxRows'\?"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            options({"trivet": given}, "model")


def test_durations():
    assert duration("600s", "x") == 600
    assert duration("0.5s", "x") == 0.5
    for bad in ("600", "-1s", "0s", "s", 600, None):
        with pytest.raises(InvalidArgument, match='x: expected a duration such as "600s"'):
            duration(bad, "x")
