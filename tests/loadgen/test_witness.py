"""The witness, and those who tell it."""

import asyncio
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.spool import Room
from loadgen.witness import Heard, Witness, WitnessClient
from tests.harness.environments.embedded.conftest import until
from tests.loadgen.conftest import Place


def test_what_is_told_is_remembered_in_order_with_the_time_of_hearing(place: Place) -> None:
    place.open()
    client = place.client()
    for number in range(100):
        client.tell(e="ack", n=number)
    assert client.flush(10)
    assert place.numbers() == list(range(100))
    assert all(r["w"] >= r["t"] for r in place.records())


def test_the_records_of_a_client_are_numbered_from_one_without_gaps_and_clients_are_told_apart(
    place: Place
) -> None:
    place.open()
    first, second = place.client(), place.client(memory=True)
    for client in (first, second):
        for number in range(50):
            client.tell(e="ack", n=number)
        assert client.flush(10)
        mine = [r["q"] for r in place.records() if r["cl"] == client.life]
        assert mine == list(range(1, 51))
    assert first.life != second.life


def test_what_goes_out_in_the_normal_course_is_not_late(place: Place) -> None:
    place.open()
    client = place.client()
    client.tell(e="ack", n=1)
    assert client.flush(10)
    assert "late" not in place.records()[0]


@pytest.mark.parametrize("memory", [True, False])
def test_what_is_told_while_the_witness_is_away_arrives_late_when_it_is_back(place: Place, memory: bool) -> None:
    place.open()
    client = place.client(memory=memory)
    client.tell(e="ack", n=1)
    assert client.flush(10)
    place.away = True
    client.tell(e="ack", n=2)
    until(lambda: place.refused)
    client.tell(e="ack", n=3)
    place.away = False
    assert client.flush(10)
    client.tell(e="ack", n=4)
    assert client.flush(10)
    assert [(r["n"], r.get("late")) for r in place.records()] == [(1, None), (2, True), (3, True), (4, None)]
    assert client.dropped == 0


def test_what_cannot_be_sent_is_on_disk_where_nobody_else_can_read_it(place: Place) -> None:
    client = place.client()
    for number in range(3):
        client.tell(e="ack", n=number)
    assert [r["n"] for r in place.waiting()] == [0, 1, 2]
    file, = place.spool.glob("*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.spool.stat().st_mode) == 0o700


def test_what_was_received_is_on_disk_no_more_and_a_client_that_ends_leaves_no_file(place: Place) -> None:
    place.open()
    client = place.client()
    for number in range(5000):
        client.tell(e="ack", n=number)
    assert client.flush(20)
    assert place.waiting() == []
    assert client.close(10)
    assert list(place.spool.iterdir()) == []
    assert place.numbers() == list(range(5000))


def test_when_there_is_no_room_the_newest_are_given_up_and_how_many_is_told(place: Place) -> None:
    client = place.client(room=Room(lines=3, size=10_000))
    for number in range(10):
        client.tell(e="ack", n=number)
    assert client.dropped == 7
    place.open()
    assert client.flush(20)
    client.tell(e="ack", n=10)
    assert client.flush(20)
    assert place.numbers() == [0, 1, 2, 10]
    notes = [r for r in place.records() if r["e"] == "dropped"]
    assert sum(note["n"] for note in notes) == 7
    assert all(note["r"] == "west" for note in notes)
    heard = {r["q"] for r in place.records()}
    assert len(set(range(1, max(heard) + 1)) - heard) == 7


def test_room_is_bounded_in_bytes_too(place: Place) -> None:
    client = place.client(memory=True, room=Room(lines=1000, size=1000))
    for number in range(10):
        client.tell(e="ack", n=number, key="k" * 300)
    assert client.dropped == 8
    place.open()
    assert client.flush(20)
    assert place.numbers() == [0, 1]


def test_a_batch_whose_answer_was_lost_counts_once(place: Place) -> None:
    place.answers_lost = 2
    place.open()
    client = place.client()
    for number in range(10):
        client.tell(e="ack", n=number)
    assert client.flush(10)
    assert place.answers_lost == 0
    assert place.numbers() == list(range(10))
    counts = asyncio.run(place.witness.handle({"stats": True}))["counts"]
    assert counts == {"ack:task:": 10}


DEAD = """
import sys
from pathlib import Path
from loadgen.witness import WitnessClient
client = WitnessClient(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
for number in range(3):
    client.tell(e="ack", n=number)
print(client.life, flush=True)
sys.stdin.read()
"""


def leave(place: Place, how: signal.Signals) -> str:
    """Have a client die that could send nothing; its ``cl``."""
    host, port, token = place.address
    process = subprocess.Popen([sys.executable, "-c", DEAD, host, str(port), token, str(place.spool)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    life = process.stdout.readline().strip()
    process.send_signal(how)
    process.wait()
    return life


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_client_sends_what_a_dead_one_has_left_under_the_dead_ones_name_and_removes_it(
    place: Place, how: signal.Signals
) -> None:
    life = leave(place, how)
    place.open()
    client = place.client()
    until(lambda: len(place.records()) == 3)
    assert [(r["n"], r["cl"], r["q"], r["late"]) for r in place.records()] == [
        (0, life, 1, True), (1, life, 2, True), (2, life, 3, True)]
    assert client.close(10)
    until(lambda: not list(place.spool.iterdir()))


def test_what_a_client_leaves_that_dies_later_is_found_by_one_that_patrols(place: Place) -> None:
    client = place.client(patrols=True)
    leave(place, signal.SIGKILL)
    place.open()
    until(lambda: len(place.records()) == 3)
    assert client.dropped == 0


def test_what_dead_clients_left_meanwhile_is_found_when_the_line_is_back(place: Place) -> None:
    client = place.client()
    client.tell(e="ack", n=7)
    leave(place, signal.SIGKILL)
    place.open()
    until(lambda: sorted(place.numbers()) == [0, 1, 2, 7])
    assert client.dropped == 0


def test_the_file_of_a_client_that_lives_is_left_to_it(place: Place) -> None:
    first = place.client()
    first.tell(e="ack", n=1)
    second = place.client()
    second.tell(e="ack", n=2)
    place.open()
    assert first.flush(10)
    assert second.flush(10)
    assert sorted((r["n"], r["cl"]) for r in place.records()) == [(1, first.life), (2, second.life)]


def test_a_line_that_a_dying_client_wrote_in_part_is_told_as_given_up(place: Place) -> None:
    life = leave(place, signal.SIGKILL)
    with (place.spool / f"{life}.jsonl").open("a") as sink:
        sink.write('{"e":"ack","n":3')
    place.open()
    client = place.client()
    until(lambda: [r["n"] for r in place.records() if r["e"] == "dropped"] == [1])
    assert place.numbers() == [0, 1, 2]
    assert client.dropped == 1


def test_a_directory_that_cannot_be_written_leaves_memory(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.spool.touch()
    client = place.client()
    assert "cannot be written" in capfd.readouterr().err
    client.tell(e="ack", n=1)
    place.open()
    assert client.flush(10)
    assert place.numbers() == [1]


def test_a_pods_client_is_made_as_its_environment_says(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    host, port, token = place.address
    for name, value in {"WITNESS_HOST": host, "WITNESS_PORT": str(port), "WITNESS_TOKEN": token,
                        "SPOOL": str(place.spool), "REGION": "east", "DEPLOYMENT": "team-00"}.items():
        monkeypatch.setenv(f"DR_DRILL_{name}", value)
    client = WitnessClient.of_pod()
    place.clients.append(client)
    client.tell(e="ack", n=1)
    assert [r["n"] for r in place.waiting()] == [1]
    place.open()
    assert client.flush(10)


def test_records_that_were_heard_are_known_whatever_their_order_and_gaps() -> None:
    heard = Heard()
    order = [1, 2, 3, 7, 5, 6, 4, 10, 9, 3, 7, 10, 1, 8]
    new = [number for number in order if heard.add(number)]
    assert new == [1, 2, 3, 7, 5, 6, 4, 10, 9, 8]
    assert not any(heard.add(number) for number in range(1, 11))
    assert heard.add(11)


def test_what_did_not_get_into_the_file_is_taken_again(tmp_path: Path) -> None:
    witness = Witness(Path("/dev/full"))
    with pytest.raises(OSError, match="No space"):
        asyncio.run(witness.handle([{"e": "ack", "cl": "a", "q": 1, "t": 0.0}]))
    full = witness._sink
    with (tmp_path / "log").open("w") as witness._sink:
        asyncio.run(witness.handle([{"e": "ack", "cl": "a", "q": 1, "t": 0.0}]))
    assert (tmp_path / "log").read_text().count("\n") == 1
    with pytest.raises(OSError, match="No space"):
        full.close()
