import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.traffic import active, admit, check, leave, replace_without, settle, withdraw


@st.composite
def splits(draw, least=1):
    """Splits over 1 to 6 models, none of which is without traffic."""
    count = draw(st.integers(least, 6))
    cuts = sorted(draw(st.sets(st.integers(1, 99), min_size=count - 1, max_size=count - 1)))
    shares = [end - start for start, end in zip([0, *cuts], [*cuts, 100], strict=True)]
    return {f"{number}": share for number, share in enumerate(shares, 1)}


def sdk_allocate(split, percentage):
    """`Endpoint._allocate_traffic` of google-cloud-aiplatform 2.7.0."""
    new, left = {}, 100 - percentage
    if left:
        over = left
        for id_, share in split.items():
            new[id_] = int(share / 100 * left)
            over -= new[id_]
        for id_ in new:
            if over == 0:
                break
            new[id_] += 1
            over -= 1
    new["0"] = percentage
    return new


def sdk_unallocate(split, gone):
    """`Endpoint._unallocate_traffic` of the same."""
    new = {id_: share for id_, share in split.items() if id_ != gone}
    left = 100 - split[gone]
    if left:
        over = 100
        for id_ in list(new):
            new[id_] = int(split[id_] / left * 100)
            over -= new[id_]
        for id_ in new:
            if over == 0:
                break
            new[id_] += 1
            over -= 1
    return new


def test_the_documented_example():
    assert admit({"a": 70, "b": 30}, "0", 15) == {"a": 60, "b": 25, "0": 15}


@given(splits(), st.integers(0, 99))
def test_a_model_is_admitted_as_the_sdk_does_it(split, share):
    assert admit(split, "0", share) == sdk_allocate(split, share)


@given(splits(least=2), st.data())
def test_a_model_is_withdrawn_as_the_sdk_does_it(split, data):
    gone = data.draw(st.sampled_from(sorted(split)))
    assert withdraw(split, gone, [other for other in split if other != gone]) == sdk_unallocate(split, gone)


def test_all_traffic_leaves_the_others_with_nothing():
    assert admit({"a": 70, "b": 30}, "c", 100) == {"a": 0, "b": 0, "c": 100}


def test_what_is_without_traffic_stays_so():
    split = {"idle": 0, "a": 50, "b": 25, "c": 25}
    assert withdraw(split, "b", ["idle", "a", "c"]) == {"idle": 0, "a": 67, "c": 33}


def test_the_last_model_leaves_an_empty_split():
    assert withdraw({"a": 100}, "a", []) == {}
    assert withdraw({"a": 0}, "a", []) == {}
    assert leave({"a": 100}, "a", []) == {}
    assert replace_without({"a": 0}, "a", []) == {}


def test_a_model_with_all_traffic_is_not_withdrawn_from_others():
    with pytest.raises(FailedPrecondition) as refused:
        withdraw({"a": 100, "b": 0}, "a", ["b"])
    assert str(refused.value) == (
        "Undeploying deployed model 'a' would leave the remaining traffic split at 0%. Traffic split must "
        "add up to 100% when models are deployed. Please undeploy the other models first or provide an "
        "updated traffic_split."
    )


def test_where_there_is_no_traffic_any_model_may_be_withdrawn():
    assert withdraw({}, "a", ["b"]) == {}
    assert withdraw({"a": 0, "b": 100}, "a", ["b"]) == {"b": 100}


def test_a_share_goes_to_nobody_unasked():
    with pytest.raises(FailedPrecondition) as refused:
        leave({"idle": 0, "a": 60, "b": 25, "c": 15}, "c", ["idle", "a", "b"])
    assert str(refused.value) == (
        "Deployed model 'c' has 15 % of the traffic. Send a trafficSplit that gives its share to others, "
        'such as {"a": 71, "b": 29}, which keeps their proportions; or move the traffic first.'
    )


def test_all_of_the_traffic_goes_to_nobody_unasked():
    with pytest.raises(FailedPrecondition, match="would leave the remaining traffic split at 0%"):
        leave({"a": 100, "b": 0}, "a", ["b"])


@given(splits(), st.data())
def test_only_a_model_without_traffic_or_the_last_may_leave(split, data):
    idle = {id_: 0 for id_ in data.draw(st.sets(st.sampled_from("abc")))}
    split = data.draw(st.permutations([*split.items(), *idle.items()]).map(dict))
    id_ = data.draw(st.sampled_from(sorted(split)))
    left = [other for other in split if other != id_]
    try:
        assert leave(split, id_, left) == {other: share for other, share in split.items() if other in left}
    except FailedPrecondition:
        assert split[id_]
        assert left
    else:
        assert not split[id_] or not left


def test_where_there_is_no_traffic_any_model_may_leave():
    assert leave({}, "a", ["b"]) == {}
    assert leave({"b": 100}, "a", ["b"]) == {"b": 100}


def test_a_split_given_for_after_an_undeployment():
    assert replace_without({"a": 0, "b": 100}, "a", ["b"]) == {"b": 100}
    with pytest.raises(InvalidArgument, match=r"^Model being undeployed should have 0 traffic\.$"):
        replace_without({"a": 10, "b": 90}, "a", ["b"])
    with pytest.raises(InvalidArgument, match=r"^Sum of all traffic within traffic split needs to be 100\."):
        replace_without({"b": 90}, "a", ["b"])


@pytest.mark.parametrize("share", [-1, 101, 1.5, "50", None, True])
def test_shares_that_are_none(share):
    with pytest.raises(InvalidArgument, match=r"^trafficSplit\['a'\]: expected a whole number from 0 to 100"):
        check({"a": share}, ["a"])


def test_a_split_names_what_is_deployed():
    assert check({"a": 40, "b": 60}, ["a", "b", "c"]) == {"a": 40, "b": 60}
    assert check({}, ["a"]) == {}
    with pytest.raises(InvalidArgument, match=r"no such deployed model at this endpoint, but: a\."):
        check({"b": 100}, ["a"])


def test_the_key_0_is_for_deployments():
    assert check({"0": 100}, [], new=True) == {"0": 100}
    with pytest.raises(InvalidArgument, match="no such deployed model at this endpoint, but: none"):
        check({"0": 100}, [])


def test_without_a_split_the_first_model_gets_everything_and_another_nothing():
    assert settle(None, {}, {}, [], "a") == {"a": 100}
    assert settle(None, {}, {"a": 100}, ["a"], "b") == {"a": 100, "b": 0}


def test_an_endpoint_whose_traffic_was_stopped_stays_so():
    assert settle(None, {}, {}, ["a"], "b") == {}


def test_where_nothing_has_come_between_the_split_is_what_was_asked():
    asked = {"a": 10, "b": 40, "0": 50}
    assert settle(asked, {"a": 70, "b": 30}, {"a": 70, "b": 30, "c": 0}, ["a", "b", "c"], "d") == {
        "a": 10,
        "b": 40,
        "c": 0,
        "d": 50,
    }


def test_a_split_may_leave_the_new_model_out():
    assert settle({"a": 100}, {"a": 100}, {"a": 100}, ["a"], "b") == {"a": 100, "b": 0}


def test_what_has_come_between_is_kept_in_proportion():
    both = {"a": 50, "0": 50}
    first = settle(both, {"a": 100}, {"a": 100}, ["a"], "b")
    assert first == {"a": 50, "b": 50}
    assert settle(both, {"a": 100}, first, ["a", "b"], "c") == {"a": 25, "b": 25, "c": 50}


def test_two_first_models_that_both_want_everything():
    first = settle({"0": 100}, {}, {}, [], "a")
    assert settle({"0": 100}, {}, first, ["a"], "b") == {"a": 0, "b": 100}


def test_a_split_for_a_model_that_has_gone_does_not_fit():
    with pytest.raises(FailedPrecondition, match="gives a share to a, which was undeployed"):
        settle({"a": 80, "0": 20}, {"a": 100}, {"b": 100}, ["b"], "c")
    assert settle({"a": 0, "0": 100}, {"a": 100}, {"b": 100}, ["b"], "c") == {"b": 0, "c": 100}


def test_a_split_over_traffic_that_was_stopped_meanwhile_starts_it():
    assert settle({"a": 80, "0": 20}, {"a": 100}, {}, ["a"], "b") == {"a": 80, "b": 20}


@given(splits(), splits(), st.data())
def test_whatever_came_between_it_sums_to_100(before, now, data):
    asked = data.draw(
        st.one_of(
            st.none(),
            st.just({"0": 100}),
            st.integers(0, 99).map(lambda share: admit(before, "0", share)),
        )
    )
    try:
        settled = settle(asked, before, now, list(now), "9")
    except FailedPrecondition:
        assert set(active(asked or {})) - {"0"} - set(now)
    else:
        assert sum(settled.values()) == 100
        assert set(settled) <= {*now, "9"}
        if asked is not None and "0" in asked:
            assert settled["9"] == asked["0"]
