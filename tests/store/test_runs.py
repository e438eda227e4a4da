from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.model.errors import StoreError
from mtughost.model.findings import HostStatus
from mtughost.model.session import Answer
from mtughost.store import RunMeta, RunStore, make_run_id
from mtughost.store.bodies import Body, pack, pack_text, unpack, unpack_text


def status(host="ap1", how="ok", error="", kind="") -> HostStatus:
    return HostStatus(host=host, site="s001", role="ap", status=how, error=error, error_kind=kind)


ANSWERS = (
    Answer(
        command_id="addresses",
        line="ip -j address",
        text='[{"ifname": "eth0", "mtu": 1500}]\n' * 50,
        exit_code=0,
        started_utc="2026-01-31T10:00:00+00:00",
        duration_s=0.125,
    ),
    Answer(
        command_id="log",
        line="cat /var/log/x",
        text="half a li",
        status="eof",
        error="the session ended: \udcff",
    ),
    Answer(command_id="empty", line="true", text=""),
)


def test_a_recorded_host_comes_back_equal(store, begin):
    run = begin(hosts=("ap1",))
    store.record_host(run, status(), ANSWERS[:1], extra={"small_mss_login": True})
    (host,) = store.load_run(run).hosts

    assert host.status == status()
    assert host.answers == ANSWERS[:1]
    assert host.extra == {"small_mss_login": True}
    assert host.recorded_utc.startswith("2026-01-31T")


def test_cut_off_and_odd_answers_keep_their_status_and_text(store, begin):
    run = begin()
    store.record_host(run, status(how="failed", error="ap1: \udc80 odd", kind="eof"), ANSWERS)
    (host,) = store.load_run(run).hosts

    assert host.answers[1].status == "eof"
    assert host.answers[1].text == "half a li"
    assert host.answers[1].error == "the session ended: \\udcff"
    assert host.answers[2].text == ""
    assert host.status.error == "ap1: \\udc80 odd"


texts = st.text(st.characters(codec=None), max_size=200)


@given(texts)
def test_any_text_of_a_device_survives_storage(text):
    assert unpack_text(pack_text(text), "x") == text


def test_a_whole_run_comes_back(store, begin):
    run = begin(hosts=("b", "a", "never"))
    store.record_host(run, status("a"), ANSWERS)
    store.record_host(run, status("b", "failed", "b: timeout", "timeout"))
    store.record_host(run, status("extra", "skipped"))
    pcap = bytes(range(256)) * 40
    store.record_capture(
        run, "a", point="gateway-lan", interface="vlan20", pcap=pcap, meta={"seconds": 60}
    )
    store.record_probe(run, {"host": "a", "steps": [1, 2]})
    store.record_probe(run, {"host": "b"})
    store.record_report(run, {"schema": "old"})
    store.record_report(run, {"schema": "mtughost/audit/v1", "sites": []})
    store.finish_run(run)
    loaded = store.load_run(run)

    assert [host.status.host for host in loaded.hosts] == ["b", "a", "extra"]
    assert loaded.info.meta.hosts == ("b", "a", "never")
    assert loaded.info.meta.options == {"sites": ["s*"]}
    assert loaded.info.counts == {"ok": 1, "failed": 1, "skipped": 1}
    assert loaded.info.asked == 3
    assert loaded.info.state == "complete"
    assert loaded.info.finished
    assert loaded.captures[0].pcap == pcap
    assert loaded.captures[0].sha256 == hashlib.sha256(pcap).hexdigest()
    assert loaded.captures[0].meta == {"seconds": 60}
    assert loaded.probes == ({"host": "a", "steps": [1, 2]}, {"host": "b"})
    assert loaded.report == {"schema": "mtughost/audit/v1", "sites": []}
    light = store.load_run(run, bodies=False)
    assert light.hosts[1].answers == light.captures == ()


def test_a_run_without_an_end_is_running_and_has_no_report(store, begin):
    run = begin()

    assert store.load_run(run).info.state == "running"
    assert store.load_run(run).report is None
    assert not store.runs()[0].finished


def test_a_resumed_run_skips_whoever_was_visited_and_repeats_whoever_was_skipped(store, begin):
    run = begin(hosts=("a", "b", "c", "d"))
    store.record_host(run, status("a"), ANSWERS)
    store.record_host(run, status("b", "failed"))
    store.record_host(run, status("c", "skipped"))
    store.finish_run(run, state="interrupted")

    assert store.hosts_done(run) == {"a", "b"}
    store.finish_run(run, state="running")
    assert store.load_run(run).info.ended_utc == ""
    store.record_host(run, status("c"), ANSWERS[:1])
    store.record_host(run, status("d"))
    assert store.hosts_done(run) == {"a", "b", "c", "d"}


def test_recording_a_host_again_replaces_it_whole(store, begin):
    run = begin()
    store.record_host(run, status(how="failed"), ANSWERS)
    store.record_host(run, status(), ANSWERS[:1])
    (host,) = store.load_run(run).hosts

    assert host.status.status == "ok"
    assert host.answers == ANSWERS[:1]


def test_runs_are_listed_newest_first_and_found_by_a_beginning(store, begin):
    ids = [begin(number) for number in (2, 1, 3)]

    assert [run.run_id for run in store.runs()] == sorted(ids, reverse=True)
    assert store.find_run("latest") == ids[2]
    assert store.find_run("20260201") == ids[1]
    assert store.find_run(ids[0]) == ids[0]
    with pytest.raises(StoreError, match="several runs"):
        store.find_run("2026")
    for wrong in ("1999", "", "%"):
        with pytest.raises(StoreError, match="no run is called"):
            store.find_run(wrong)


def test_deleting_runs_takes_all_of_them_and_gives_space_back(store, begin, path):
    for number in range(1, 6):
        run = begin(number)
        noise = hashlib.shake_256(bytes([number])).hexdigest(200_000)
        store.record_host(run, status(), [Answer(command_id="x", line="x", text=noise)])
        store.record_capture(run, "ap1", point="ap", interface="eth0", pcap=noise.encode())
        store.record_probe(run, {})
        store.record_report(run, {})
    old = [run.run_id for run in store.runs()][2:]
    size, freed = store.size_of(old), store.delete_runs(old)

    assert 1_000_000 < size < freed < 2 * size
    assert [run.run_id[:8] for run in store.runs()] == ["20260205", "20260204"]
    assert len(store.load_run(store.find_run("latest")).hosts[0].answers) == 1
    with closing(sqlite3.connect(path)) as raw:
        for table in ("asked", "hosts", "answers", "captures", "probes", "reports"):
            left = raw.execute(f"SELECT count(DISTINCT run_id) FROM {table}").fetchone()[0]  # noqa: S608
            assert left == (0 if table == "asked" else 2)
        assert raw.execute("PRAGMA freelist_count").fetchone()[0] == 0
    assert store.delete_runs(["20260101T000000Z-nobody"]) == 0


def test_what_belongs_to_no_run_is_refused(store):
    for work in (
        lambda: store.record_host("nope", status()),
        lambda: store.record_capture("nope", "a", point="ap", interface="e", pcap=b""),
        lambda: store.record_probe("nope", {}),
        lambda: store.record_report("nope", {}),
        lambda: store.finish_run("nope"),
        lambda: store.hosts_done("nope"),
        lambda: store.load_run("nope"),
    ):
        with pytest.raises(StoreError, match="no run is called 'nope'"):
            work()


def test_a_run_id_that_exists_is_refused(store, begin):
    begin(1)
    with pytest.raises(StoreError, match="already"):
        begin(1)


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ("2026-01-31T23:59:59+00:00", "20260131T235959Z-00ff00"),
        ("2026-01-31T23:59:59Z", "20260131T235959Z-00ff00"),
        ("2026-02-01T00:59:59+01:00", "20260131T235959Z-00ff00"),
    ],
)
def test_run_ids_sort_by_time_in_utc(started, expected):
    assert make_run_id(started, "00ff00") == expected


@pytest.mark.parametrize(
    ("started", "suffix"),
    [
        ("yesterday", "00ff00"),
        ("2026-01-31T23:59:59", "00ff00"),
        ("2026-01-31T23:59:59Z", "../../"),
        ("2026-01-31T23:59:59Z", "short"),
        ("2026-01-31T23:59:59Z", ""),
    ],
)
def test_a_run_id_of_another_form_is_refused(started, suffix):
    with pytest.raises(StoreError):
        make_run_id(started, suffix)


def test_many_threads_record_at_once_and_all_is_there(store, begin):
    hosts = tuple(f"h{n}" for n in range(200))
    run = begin(hosts=hosts)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda host: store.record_host(run, status(host), ANSWERS), hosts))
    loaded = store.load_run(run)

    assert [host.status.host for host in loaded.hosts] == list(hosts)
    assert all(host.answers[0] == ANSWERS[0] for host in loaded.hosts)


def test_a_refused_record_does_not_take_others_of_its_batch_along(store, begin):
    run = begin()
    errors = []

    def record(number: int) -> None:
        try:
            store.record_host(run if number % 2 else "nope", status(f"h{number}"))
        except StoreError as error:
            errors.append(str(error))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(record, range(60)))

    assert len(errors) == 30
    assert store.hosts_done(run) == {f"h{n}" for n in range(1, 60, 2)}


def test_readers_see_only_whole_hosts_while_others_write(store, begin):
    run, stop, seen = begin(), threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            seen.extend(len(host.answers) for host in store.load_run(run).hosts)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        store.record_host(run, status(f"h{number % 5}"), ANSWERS)
    stop.set()
    reader.join()

    assert set(seen) <= {3}


def test_two_stores_on_one_file_both_write(path, clock, begin, store):
    run = begin()
    with RunStore.open(path, clock=clock) as other:
        with ThreadPoolExecutor(2) as pool:
            for opened, name in ((store, "a"), (other, "b")):
                for number in range(20):
                    pool.submit(opened.record_host, run, status(f"{name}{number}"))
        assert len(other.hosts_done(run)) == 40


def test_a_closed_store_says_so_and_may_be_closed_again(path, clock):
    store = RunStore.open(path, clock=clock)
    store.close()
    store.close()

    with pytest.raises(StoreError, match="closed already"):
        store.create_run(RunMeta(started_utc=clock.utc_now(), tool="x"), suffix="abcdef")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE answers SET body = x'00'",
        "UPDATE answers SET sha256 = 'beef'",
        "UPDATE answers SET size_bytes = size_bytes - 1",
        "UPDATE answers SET size_bytes = 99999999",
        "DELETE FROM answers WHERE position = 1",
    ],
)
def test_damaged_answers_are_noticed_and_named(store, begin, path, damage):
    run = begin()
    store.record_host(run, status(), ANSWERS)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(damage)
        raw.commit()

    with pytest.raises(StoreError, match="ap1"):
        store.load_run(run)


def test_a_compression_bomb_stops_at_the_recorded_size():
    bomb = pack(b"\0" * 50_000_000)

    with pytest.raises(StoreError, match="SHA-256"):
        unpack(Body(10, bomb.sha256, bomb.packed), "x")


def test_raw_answers_are_stored_compressed(store, begin, path):
    run = begin()
    store.record_host(run, status(), ANSWERS)
    with closing(sqlite3.connect(path)) as raw:
        size, stored, digest = raw.execute(
            "SELECT size_bytes, length(body), sha256 FROM answers WHERE position = 0"
        ).fetchone()

    assert size == len(ANSWERS[0].text)
    assert stored < size / 10
    assert digest == hashlib.sha256(ANSWERS[0].text.encode()).hexdigest()


def judged(**verdicts):
    return {"sites": [{"site": site, "verdict": verdict} for site, verdict in verdicts.items()]}


def test_verdicts_are_counted_run_by_run_without_reading_reports(store, begin):
    first, second = begin(1), begin(2)
    store.record_report(first, judged(s1="fault", s2="ok", s3="ok"))
    store.record_report(second, judged(s1="fault"))
    store.record_report(second, judged(s1="ok", s2="ok"))

    assert store.verdicts(first) == {"s1": "fault", "s2": "ok", "s3": "ok"}
    assert store.verdict_counts() == {first: {"fault": 1, "ok": 2}, second: {"ok": 2}}
    store.delete_runs([first, second])
    assert store.verdict_counts() == {}


def test_verdicts_of_reports_stored_before_there_was_a_table_are_found(store, begin, path, clock):
    run = begin()
    store.close()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DROP TABLE verdicts")
        raw.execute("DROP TABLE site_reports")
        raw.execute("INSERT INTO reports VALUES (?, ?)", (run, json.dumps(judged(s1="latent"))))
        raw.execute("PRAGMA user_version = 2")

    with RunStore.open(path, clock=clock) as newer:
        assert newer.verdicts(run) == {"s1": "latent"}
        assert newer.load_run(run).report == judged(s1="latent")


def test_a_report_keeps_its_sites_in_their_order_whatever_they_come_from(store, begin):
    run = begin()
    sites = [{"site": f"s{n}", "verdict": "ok", "notes": ["é" * n]} for n in (3, 1, 2)]
    store.record_report(run, {"schema": "x", "sites": iter(sites)})

    assert store.load_run(run, bodies=False).report == {"schema": "x", "sites": sites}


def test_a_part_of_a_run_is_what_concerns_its_hosts(store, begin):
    run = begin()
    for name in ("a", "b"):
        store.record_host(run, status(name), ANSWERS)
        store.record_capture(run, name, point="ap", interface="lan0", pcap=name.encode())
        store.record_probe(run, {"kind": "ping", "host": name})
    store.record_probe(run, {"kind": "far-ends", "by_site": {}})

    part = store.load_part(run, ["b", "nobody"])
    whole = store.load_run(run)
    assert part.hosts == (whole.hosts[1],)
    assert [capture.pcap for capture in part.captures] == [b"b"]
    assert part.probes == ({"kind": "ping", "host": "b"}, {"kind": "far-ends", "by_site": {}})
