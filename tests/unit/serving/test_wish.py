from trivet.serving.wish import Address

AT = Address(("fraud",), {"1": 70, "2": 30, "3": 0}, {"1": "1", "2": "2", "3": "3"})


def test_others_take_the_share_of_what_is_not_there():
    left = AT.only({"2", "3"})
    assert (left.split, left.versions, left.lost) == ({"2": 100, "3": 0}, {"2": "2", "3": "3"}, False)


def test_an_address_is_lost_where_all_that_has_a_share_is_not_there():
    left = AT.only({"3"})
    assert (left.split, left.versions, left.lost) == ({}, {"3": "3"}, True)


def test_one_that_nothing_was_deployed_at_is_not_lost():
    assert not Address(("fraud",), {}).only(set()).lost
