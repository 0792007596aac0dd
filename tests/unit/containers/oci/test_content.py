from trivet.containers.oci.content import digest


def make(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_folders_of_equal_content_are_equal_wherever_they_are(tmp_path):
    one, other = (make(tmp_path / name, a="1", b="2") for name in ("one", "other"))
    assert digest(one) == digest(other)


def test_each_name_content_and_permission_counts(tmp_path):
    folder = make(tmp_path / "one", a="1")
    found = {digest(folder)}
    (folder / "a").write_text("2")
    found.add(digest(folder))
    (folder / "a").chmod(0o755)
    found.add(digest(folder))
    (folder / "a").rename(folder / "b")
    found.add(digest(folder))
    (folder / "link").symlink_to("b")
    found.add(digest(folder))
    (folder / "folder").symlink_to(tmp_path)
    found.add(digest(folder))
    assert len(found) == 6


def test_what_running_leaves_does_not_count(tmp_path):
    folder = make(tmp_path / "one", a="1")
    before = digest(folder)
    make(folder / "__pycache__", more="1")
    assert digest(folder) == before
