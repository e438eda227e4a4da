"""What an inventory is remarked upon, for one device and for thousands."""

from mtughost.app.inventory import TOLD_ALIKE, briefly


def test_remarks_that_thousands_of_devices_earn_are_told_in_a_few_lines():
    alike = [f"hosts.yaml:{n}: s{n:04}-ap1: no services: nothing is known" for n in range(9000)]
    other = "groups.yaml:3: group stores: a password stands here as plain text"
    *first, more, last = briefly([*alike[:5000], other, *alike[5000:]])

    assert first == alike[:TOLD_ALIKE]
    assert more.startswith(f"and {9000 - TOLD_ALIKE} more: no services: nothing is known")
    assert "mtughost inventory check" in more
    assert last == other


def test_a_few_remarks_are_all_told():
    remarks = [f"hosts.yaml:{n}: s{n}-ap1: no services" for n in range(TOLD_ALIKE)]

    assert list(briefly(remarks)) == remarks
    assert not list(briefly([]))
