"""DNS answers from a zone."""

from dnslib import DNSRecord

from harness.environments.embedded.dns import ZoneCopy

ZONE = [
    {"Name": "ingress.x.test.", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "127.9.141.9"}]},
    {"Name": "a.x.test.", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "ingress.x.test"}]},
    {"Name": "x.test.", "Type": "NS", "TTL": 60, "ResourceRecords": [{"Value": "ns"}]},
]


def ask(zone: ZoneCopy, name: str) -> DNSRecord:
    return zone.resolve(DNSRecord.question(name), None)


def test_a_hostname_is_followed_to_the_one_ingress_record_with_ttls() -> None:
    zone = ZoneCopy()
    zone.replace(ZONE)
    answer = ask(zone, "A.x.test")
    assert [(str(r.rdata), r.ttl) for r in answer.rr] == [("ingress.x.test.", 60), ("127.9.141.9", 5)]


def test_moving_the_one_record_moves_every_name() -> None:
    zone = ZoneCopy()
    zone.replace(ZONE)
    moved = [{**ZONE[0], "ResourceRecords": [{"Value": "127.9.142.9"}]}, *ZONE[1:]]
    zone.replace(moved)
    assert str(ask(zone, "a.x.test").rr[-1].rdata) == "127.9.142.9"


def test_an_unknown_name_does_not_exist() -> None:
    zone = ZoneCopy()
    zone.replace(ZONE)
    assert ask(zone, "b.x.test").header.rcode == 3
