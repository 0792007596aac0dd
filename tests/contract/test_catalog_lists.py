"""What every database of a catalog must do: lists, in pages, filtered and sorted."""

import contextlib
from dataclasses import replace
from datetime import UTC

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.catalog_values import HERE, START, at, endpoint, holds, model, operation, value_of
from tests.unit.core.test_filters import written
from trivet.catalog import Catalog
from trivet.core.errors import InvalidArgument
from trivet.core.filters import And, Comparison, Not, Or, parse_filter
from trivet.core.resources import Location, Query

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "aXb",
    "a*b",
    "a%b",
    "a_b",
    "a?b",
    "[a]",
    "a\\b",
    "it's",
    'say "x"',
    "ä",
    "\U0001f600",
    "￿",
]
KEYS = ["team", "größe", "a.b/c", "1"]
FIELDS = {
    "id": "text",
    "name": "text",
    "display_name": "text",
    "create_time": "time",
    "update_time": "time",
    "labels": "labels",
}
MODELS = [
    model(
        f"m{number}",
        display_name=TEXTS[number % len(TEXTS)],
        created=at(number // 3),
        updated=at(-number % 7),
        labels={
            key: TEXTS[(number * 7 + index) % 16] for index, key in enumerate(KEYS) if number >> index & 1
        },
    )
    for number in range(48)
]
REFERENCE = [replace(one, model_created=one.created) for one in MODELS]


@pytest.fixture(scope="module")
def filled(url_of_module):
    """Return a catalog that holds MODELS, each also as an endpoint."""
    catalog = Catalog(url_of_module)
    with catalog.transaction() as one:
        for each in MODELS:
            one.add_version(replace(each, display_name="first", labels={}))
            one.add_version(replace(each, aliases=("default",)))
            values = {"display_name": each.display_name, "created": each.created}
            one.add_endpoint(endpoint(each.name.id, updated=each.updated, labels=each.labels, **values))
    yield catalog
    catalog.close()


def pages(catalog, query, kind="models", parent=HERE):
    """Return all items of a list, asked for page by page."""
    found, token = [], None
    while token != "":
        with catalog.reading() as one:
            page = getattr(one, kind)(parent, replace(query, page_token=token or ""))
        found += page.items
        token = page.next_page_token
    return found


def ids(resources):
    return [resource.name.id for resource in resources]


def bare(resource):
    return resource.name.id, resource.display_name, resource.labels


patterns = st.lists(st.sampled_from(["a", "b", "*", "%", "_", "?", "[", "]", "\\", "X"]), max_size=5).map(
    "".join
)
values = st.one_of(st.sampled_from(TEXTS), patterns)
times = st.integers(-1, 17).map(at)
compared = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
comparisons = st.one_of(
    st.builds(Comparison, st.just("display_name"), st.one_of(compared, st.just(":")), values),
    st.builds(Comparison, st.just("id"), compared, st.sampled_from(["m7", "m", "n"])),
    st.builds(Comparison, st.just("name"), compared, st.sampled_from([str(MODELS[7].name), "m", "p", "q"])),
    st.builds(Comparison, st.sampled_from(["create_time", "update_time"]), compared, times),
    st.builds(
        Comparison, st.just("labels"), st.sampled_from(["=", "!=", ":"]), values, st.sampled_from(KEYS)
    ),
)
expressions = st.recursive(
    comparisons,
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(And, st.lists(parts, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expression=expressions)
def test_a_filter_means_what_it_says(filled, expression):
    text = written(expression)
    assert parse_filter(text, FIELDS) == expression
    expected = {bare(one)[:2] for one in REFERENCE if holds(expression, one)}
    assert {bare(one)[:2] for one in pages(filled, Query(text))} == expected


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.lists(
        st.tuples(
            st.sampled_from(["display_name", "create_time", "update_time", "id", "name"]), st.booleans()
        ),
        max_size=3,
        unique_by=lambda one: one[0],
    ),
    size=st.integers(1, 60),
    filter_=st.sampled_from(["", "NOT labels.team:*", 'display_name >= "b"']),
)
def test_pages_together_are_the_sorted_list(filled, order, size, filter_):
    expected = [one for one in REFERENCE if holds(parse_filter(filter_, FIELDS), one)]
    whole = order or [("create_time", True)]
    asked = [field for field, _ in whole]
    whole = whole + [(field, whole[-1][1]) for field in ("create_time", "id") if field not in asked]
    for field, descending in reversed(whole):
        expected.sort(key=lambda one, field=field: value_of(one, field), reverse=descending)
    order_by = ", ".join(f"{field} {'desc' if descending else 'asc'}" for field, descending in order)
    found = pages(filled, Query(filter_, order_by, size))
    assert list(map(bare, found)) == list(map(bare, expected))


@pytest.mark.parametrize(
    "text", ["", 'display_name="a"', "labels.team:*", "create_time>2026-01-31T08:30:05Z"]
)
def test_endpoints_are_listed_like_models(filled, text):
    query = Query(text, page_size=7)
    assert ids(pages(filled, query, "endpoints")) == ids(pages(filled, query, "models"))


def test_fields_have_the_names_that_the_api_gives_them(filled):
    assert ids(pages(filled, Query("model=m7"))) == ["m7"]
    assert ids(pages(filled, Query("endpoint=m7"), "endpoints")) == ["m7"]
    assert ids(pages(filled, Query(f'name="{HERE}/models/m7"'))) == ["m7"]
    assert ids(pages(filled, Query('displayName="aXb" createTime<2026-01-31T08:30:05Z'))) == ["m4"]


def test_another_parent_has_other_lists(filled):
    assert pages(filled, Query(), parent=Location("acme", "europe-west4")) == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query("colour=red"), "filter, position 1, at 'colour=red': unknown field"),
        (Query(order_by="labels"), "orderBy, position 1"),
        (Query(page_size=-1), "page_size -1: expected 0 to 1000"),
        (Query(page_token="abc"), "page_token"),
        (Query(page_token="é"), "page_token"),
        (Query(page_token="bnVsbA"), "page_token"),
        (Query(page_token="W10"), "page_token"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(filled, query, message):
    with pytest.raises(InvalidArgument, match=message), filled.reading() as one:
        one.models(HERE, query)


def test_a_page_token_is_of_one_list(filled):
    with filled.reading() as one:
        query = Query("NOT id=m7", "display_name", 5)
        query = replace(query, page_token=one.models(HERE, query).next_page_token)
        assert len(one.models(HERE, replace(query, page_size=7)).items) == 7
        for other in (replace(query, filter=""), replace(query, order_by="display_name desc")):
            with pytest.raises(InvalidArgument, match="page_token"):
                one.models(HERE, other)
        for parent, kind in ((Location("other", "us-central1"), "models"), (HERE, "endpoints")):
            with pytest.raises(InvalidArgument, match="page_token"):
                getattr(one, kind)(parent, query)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_page_token_that_was_changed_is_refused_or_read(filled, data):
    with filled.reading() as one:
        token = one.models(HERE, Query(page_size=5)).next_page_token
    place = data.draw(st.integers(0, len(token) - 1))
    changed = token[:place] + data.draw(st.characters()) + token[place + 1 :]
    with filled.reading() as one, contextlib.suppress(InvalidArgument):
        one.models(HERE, Query(page_size=5, page_token=changed))


def test_a_page_has_100_items_unless_more_or_fewer_are_asked_for(catalog):
    with catalog.transaction() as one:
        for number in range(103):
            one.add_operation(operation(f"o{number}", created=at(number)))
        found = [one.operations(HERE, Query(page_size=size)).items for size in (0, 7, 102, 5000)]
    assert [len(items) for items in found] == [100, 7, 102, 103]
    assert ids(found[1])[:2] == ["o102", "o101"]


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=12),
    order=st.sampled_from(["", "create_time", "display_name", "display_name desc, create_time"]),
    size=st.integers(1, 5),
)
def test_a_list_that_changes_meanwhile_shows_the_rest_once(filled, changes, order, size):
    with filled.transaction() as one:
        project = Location(f"p{one.new_id()}", "us-central1")
        for number in range(12):
            one.add_endpoint(
                endpoint(f"old{number}", project, created=at(number), display_name=str(number % 4))
            )
    stay = {f"old{number}" for number in range(12)}
    found, token, todo = [], None, list(changes)
    while token != "":
        with filled.reading() as one:
            page = one.endpoints(project, Query("", order, size, token or ""))
        found += ids(page.items)
        token = page.next_page_token
        if todo:
            add, number = todo.pop()
            with filled.transaction() as one:
                if add:
                    values = {"created": at(number), "display_name": str(number % 4)}
                    one.add_endpoint(endpoint(f"new{len(todo)}", project, **values))
                elif (gone := f"old{number}") in stay:
                    one.delete_endpoint(project.child("endpoints", gone))
                    stay.remove(gone)
    assert len(found) == len(set(found))
    assert stay <= set(found)


def test_times_are_given_in_utc(filled):
    with filled.reading() as one:
        found = one.version(HERE.child("models", "m7"))
    assert (found.created, found.created.tzinfo) == (at(2), UTC)


def test_operations_that_are_done_are_pruned_by_age_and_number(url):
    catalog = Catalog(url, clock=lambda: START)
    with catalog.transaction() as one:
        one.add_operation(operation("unfinished", created=at(-90), updated=at(-90)))
        one.add_operation(operation("late", created=at(-90), updated=at(-1), done=True))
        for age in range(6):
            one.add_operation(operation(str(age), created=at(-age), updated=at(-age), done=True))

        def left():
            return {found.name.id for found in one.operations(HERE, Query()).items}

        one.prune_operations(4.5, 100)
        assert left() == {"unfinished", "late", "0", "1", "2", "3", "4"}
        one.prune_operations(4.5, 3)
        assert left() == {"unfinished", "0", "1", "2"}
        one.prune_operations(4.5, 0)
        assert left() == {"unfinished"}
    catalog.close()
