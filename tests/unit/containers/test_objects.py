"""Files as the objects of a bucket."""

import pytest

from trivet.containers.objects import NotThere, Objects, Span, Wrong


@pytest.fixture
def objects(tmp_path):
    model = tmp_path / "model"
    for name in ("a.json", "deep/one.bin", "deep/two.bin", "deep/er/three.bin", "z ü.txt"):
        file = model / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    (tmp_path / "secret").write_text("secret")
    (model / "out").symlink_to(tmp_path / "secret")
    return Objects.of("gs://bucket/models/v1/", model)


ALL = ["a.json", "deep/er/three.bin", "deep/one.bin", "deep/two.bin", "z ü.txt"]


def listed(objects, **asked):
    page = objects.page("bucket", asked)
    return [one["name"] for one in page["items"]], page["prefixes"], page.get("nextPageToken")


def test_everything_is_listed_below_the_prefix_but_links_that_lead_out(objects):
    names = [f"models/v1/{name}" for name in ALL]
    assert listed(objects) == (names, [], None)
    assert listed(objects, prefix="models/v1") == (names, [], None)
    assert listed(objects, prefix="models/v2") == ([], [], None)


def test_a_delimiter_shows_folders(objects):
    assert listed(objects, delimiter="/") == ([], ["models/"], None)
    below = listed(objects, prefix="models/v1/", delimiter="/")
    assert below == (["models/v1/a.json", "models/v1/z ü.txt"], ["models/v1/deep/"], None)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("asked", [{}, {"prefix": "models/v1/", "delimiter": "/"}])
def test_pages_are_the_whole_list_cut(objects, most, asked):
    whole, token, found = listed(objects, **asked), "", ([], [])
    for _ in range(10):
        names, prefixes, token = listed(objects, **asked, maxResults=str(most), pageToken=token or "")
        assert len(names) + len(prefixes) <= most
        found = (found[0] + names, found[1] + prefixes)
        if token is None:
            break
    assert found == whole[:2]


def test_a_list_may_begin_and_end_anywhere(objects):
    asked = {"startOffset": "models/v1/deep/one.bin", "endOffset": "models/v1/z"}
    assert listed(objects, **asked)[0] == ["models/v1/deep/one.bin", "models/v1/deep/two.bin"]


def test_what_is_not_known_is_refused(objects):
    with pytest.raises(Wrong, match="matchGlob"):
        listed(objects, matchGlob="*.json")
    with pytest.raises(Wrong, match="maxResults"):
        listed(objects, maxResults="many")
    with pytest.raises(Wrong, match="pageToken"):
        listed(objects, pageToken="$$$$$")


def test_there_is_nothing_else(objects):
    with pytest.raises(NotThere, match="bucket does not exist: other"):
        objects.page("other", {})
    for name in ("models/v1/out", "models/v1/../secret", "a.json", ""):
        with pytest.raises(NotThere, match="No such object"):
            objects.path("bucket", name)


def test_one_file_may_be_the_model(tmp_path):
    file = tmp_path / "model.cbm"
    file.write_bytes(b"123")
    objects = Objects.of("gs://bucket", file)
    assert listed(objects)[0] == ["model.cbm"]
    assert objects.described("bucket", "model.cbm")["size"] == "3"


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        (None, (0, 10, False)), ("bytes=0-3", (0, 4, True)), ("bytes=8-", (8, 10, True)),
        ("bytes=8-99", (8, 10, True)), ("bytes=-3", (7, 10, True)), ("bytes=-99", (0, 10, True)),
        ("bytes=0-1,4-5", (0, 10, False)), ("bytes=-", (0, 10, False)), ("lines=1-2", (0, 10, False)),
    ],
)  # fmt: skip
def test_ranges_are_read(asked, span):
    assert Span.of(asked, 10) == Span(*span)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=5-3", "bytes=-0"])
def test_ranges_outside_of_the_file_are_told_apart(asked):
    assert Span.of(asked, 10) is None
