"""Packets out of what sniffers print: by hand, from the real tcpdump, and whatever may come."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost.dialects.hexdump import MAX_PACKET_BYTES
from mtughost.dialects.sniffers import ROLES, SNIFFERS
from mtughost.packets import summarise

CAPTURE = Path(__file__).parents[1] / "fixtures" / "captures" / "site-a.pcap"
BEGAN_S = 1_763_769_600.0  # 2025-11-22 00:00:00 UTC

# One SYN of 192.0.2.10:40000 to 203.0.113.10:2083 with MSS 1460 in 60 bytes of IP, and its frame.
IP_SYN = bytes.fromhex(
    "4500003c1c4640004006 0000 c000020a cb00710a"
    "9c40 0823 00000001 00000000 a002 faf0 0000 0000"
    "020405b4 0402080a 00000001 00000000 01030307".replace(" ", "")
)
FRAME_SYN = bytes.fromhex("020000000002020000000001 0800".replace(" ", "")) + IP_SYN

FORTIOS = """\
interfaces=[wan1]
filters=[tcp and port 2083]
2025-11-22 00:00:07.000250 wan1 out 192.0.2.10.40000 -> 203.0.113.10.2083: syn 1
0x0000\t 0200 0000 0002 0200 0000 0001 0800 4500\t..............E.
0x0010\t 003c 1c46 4000 4006 0000 c000 020a cb00\t.<.F@.@.........
0x0020\t 710a 9c40 0823 0000 0001 0000 0000 a002\tq..@.#..........
0x0030\t faf0 0000 0000 0204 05b4 0402 080a 0000\t................
0x0040\t 0001 0000 0000 0103 0307             \t..........

1 packets received by filter
0 packets dropped by kernel
"""
EPC_DUMP = """\
0
  0000:  02000000 00020200 00000001 08004500   ..............E.
  0010:  003C1C46 40004006 0000C000 020ACB00   .<.F@.@.........
  0020:  710A9C40 08230000 00010000 0000A002   q..@.#..........
  0030:  FAF00000 00000204 05B40402 080A0000   ................
  0040:  00010000 00000103 0307                ..........

"""
EPC_TIMES = """\
 ----------------------------------------------------------------------------
 #   size   timestamp     source             destination      dscp    protocol
 ----------------------------------------------------------------------------
   0   74    7.000250   192.0.2.10       ->  203.0.113.10     0  BE   TCP
"""
ASA = """\

1 packets captured

   1: 00:00:07.000250       192.0.2.10.40000 > 203.0.113.10.2083: S 1:1(0) win 64240 <mss 1460>
0x0000 0200 0000 0002 0200 0000 0001 0800 4500 ..............E.
0x0010 003c 1c46 4000 4006 0000 c000 020a cb00 .<.F@.@.........
0x0020 710a 9c40 0823 0000 0001 0000 0000 a002 q..@.#..........
0x0030 faf0 0000 0000 0204 05b4 0402 080a 0000 ................
0x0040 0001 0000 0000 0103 0307                ..........
1 packet shown
"""
TCPDUMP = """\
tcpdump: verbose output suppressed, use -v or -vv for full protocol decode
listening on eth1, link-type EN10MB (Ethernet), capture size 192 bytes
1763769607.000250 IP 192.0.2.10.40000 > 203.0.113.10.2083: Flags [S], seq 1, length 0
\t0x0000:  4500 003c 1c46 4000 4006 0000 c000 020a
\t0x0010:  cb00 710a 9c40 0823 0000 0001 0000 0000
\t0x0020:  a002 faf0 0000 0000 0204 05b4 0402 080a
\t0x0030:  0000 0001 0000 0000 0103 0307

1 packet captured
"""
PRINTED = {
    "fortinet": ({"packets": FORTIOS}, FRAME_SYN),
    "cisco-epc": ({"packets": EPC_DUMP, "times": EPC_TIMES}, FRAME_SYN),
    "cisco-asa": ({"packets": ASA}, FRAME_SYN),
    "tcpdump": ({"packets": TCPDUMP}, IP_SYN),
}


def records(pcap):
    """Yield time in microseconds, length on the wire and bytes: no reader of ours."""
    assert pcap[:4] == b"\xd4\xc3\xb2\xa1"
    at = 24
    while at < len(pcap):
        seconds, micros, kept, wire = struct.unpack_from("<IIII", pcap, at)
        yield seconds * 1_000_000 + micros, wire, pcap[at + 16 : at + 16 + kept]
        at += 16 + kept


def linktype(pcap):
    return struct.unpack_from("<I", pcap, 20)[0]


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_one_syn_as_its_document_prints_it_comes_out_byte_by_byte(name):
    answers, wanted = PRINTED[name]

    found = SNIFFERS[name](answers, BEGAN_S)

    (record,) = records(found.pcap)
    assert record == (1_763_769_607_000_250, len(wanted), wanted)
    assert linktype(found.pcap) == (1 if wanted is FRAME_SYN else 101)
    assert (found.packets, found.damaged, found.notes) == (1, 0, ())


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_the_mss_of_a_printed_syn_is_in_the_evidence(name):
    found = SNIFFERS[name](PRINTED[name][0], BEGAN_S)

    (syn,) = look(found.pcap).syns
    assert (syn.kind, syn.mss_bytes, syn.df, syn.destination_port) == ("syn", 1460, True, 2083)


def test_every_reader_is_tried_here_and_says_which_answers_it_needs():
    assert set(PRINTED) == set(SNIFFERS) == set(ROLES)
    assert all(set(ROLES[name]) == set(answers) for name, (answers, _) in PRINTED.items())


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_nothing_printed_is_an_empty_capture_and_no_error(name):
    found = SNIFFERS[name](dict.fromkeys(ROLES[name], ""), BEGAN_S)

    assert list(records(found.pcap)) == []
    assert found.packets == 0


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_a_row_that_is_missing_leaves_the_packet_out_and_is_told(name):
    answers, _ = PRINTED[name]
    lines = answers["packets"].split("\n")
    second = next(i for i, line in enumerate(lines) if "10:  " in line or "0x0010" in line)
    text = "\n".join(lines[:second] + lines[second + 1 :])

    found = SNIFFERS[name]({**answers, "packets": text}, BEGAN_S)

    assert list(records(found.pcap)) == []
    assert found.damaged == 1
    assert "left out" in found.notes[0]


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_log_lines_between_the_rows_change_nothing(name):
    answers, wanted = PRINTED[name]
    noisy = answers["packets"].replace("\n", "\n*Nov 22 00:00:07: %SYS-5-CONFIG_I: by vty0\n")

    found = SNIFFERS[name]({**answers, "packets": noisy}, BEGAN_S)

    assert [data for _, _, data in records(found.pcap)] == [wanted]


def test_characters_beside_the_hex_that_look_like_hex_are_not_taken_for_it():
    full = "0x0000   6162 6364 6566 3031 3233 3435 3637 3839        abcdef0123456789"
    text = f"2025-11-22 00:00:07.000250 1.2.3.4 -> 5.6.7.8: icmp\n{full}\n"
    text += "0x0010   6162                                           ab\n"

    found = SNIFFERS["fortinet"]({"packets": text}, BEGAN_S)

    assert found.packets == 0  # neither Ethernet nor IP: nothing to judge
    assert found.damaged == 0
    assert "neither Ethernet nor IP" in found.notes[0]


def test_what_the_device_itself_missed_is_told():
    text = FORTIOS.replace("0 packets dropped", "12 packets dropped")

    found = SNIFFERS["fortinet"]({"packets": text}, BEGAN_S)

    assert found.notes == ("the device says: 12 packets dropped by kernel",)


def test_a_packet_that_was_cut_has_the_length_that_its_header_names():
    text = TCPDUMP.replace("4500 003c", "4500 05dc")

    found = SNIFFERS["tcpdump"]({"packets": text}, BEGAN_S)

    ((_, wire, data),) = records(found.pcap)
    assert (wire, len(data)) == (1500, 60)


def test_epc_gives_the_length_on_the_wire_apart_from_what_it_kept():
    times = EPC_TIMES.replace("   0   74 ", "   0 1514 ")

    found = SNIFFERS["cisco-epc"]({"packets": EPC_DUMP, "times": times}, BEGAN_S)

    ((_, wire, data),) = records(found.pcap)
    assert (wire, len(data)) == (1514, 74)


def test_a_switchs_own_form_of_the_buffer_is_no_empty_capture_without_a_word():
    """As recorded from Catalyst switches: tshark's form, another one than routers'."""
    dump = "Starting the packet display ........ Press Ctrl + Shift + 6 to exit\n\n"
    dump += "0000  02 00 00 00 00 02 02 00 00 00 00 01 08 00 45 00   ..............E.\n"
    times = "    1   0.000000 192.0.2.10 -> 203.0.113.10 TCP 74 40000 > 2083 [SYN]\n"

    found = SNIFFERS["cisco-epc"]({"packets": dump, "times": times}, BEGAN_S)

    assert found.packets == 0
    assert "not printed as routers print it" in found.notes[0]


def test_frames_without_a_links_header_are_kept_as_ip():
    body = "\n".join(
        f"0x{at:04x}   {' '.join(IP_SYN[k : k + 2].hex() for k in range(at, min(at + 16, 60), 2))}"
        for at in range(0, 60, 16)
    )
    text = f"2025-11-22 00:00:07.000250 ppp1 out 192.0.2.10 -> 203.0.113.10: syn 1\n{body}\n"

    found = SNIFFERS["fortinet"]({"packets": FORTIOS + text}, BEGAN_S)

    assert linktype(found.pcap) == 101
    assert [data for _, _, data in records(found.pcap)] == [IP_SYN, IP_SYN]


@pytest.mark.parametrize(
    ("zone_s", "clock_s"), [(0, 0), (7200, 0), (-34_200, 3), (45_900, -200), (0, 400)]
)
def test_an_asas_time_of_day_gets_its_date_and_zone_from_our_clock(zone_s, clock_s):
    began = BEGAN_S + 86_390  # ten seconds to midnight
    first = int(began + zone_s + clock_s) % 86_400
    rows = "\n".join(line for line in ASA.split("\n") if line.startswith("0x"))
    stamps = [
        f"{t % 86400 // 3600:02}:{t // 60 % 60:02}:{t % 60:02}.5" for t in (first, first + 20)
    ]
    text = "".join(f"   {n}: {stamp}       a > b\n{rows}\n" for n, stamp in enumerate(stamps, 1))

    found = SNIFFERS["cisco-asa"]({"packets": text}, began)

    when = [time_us / 1e6 for time_us, _, _ in records(found.pcap)]
    assert when[1] - when[0] == 20
    assert abs(when[0] - began) <= 450


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_the_real_tcpdumps_print_gives_the_packets_of_the_file_it_read():
    argv = ["tcpdump", "-r", str(CAPTURE), "-n", "-tt", "-x"]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    found = SNIFFERS["tcpdump"]({"packets": text}, BEGAN_S)

    was = [(when, data[14:]) for when, _, data in records(CAPTURE.read_bytes())]
    got = [(when, data) for when, _, data in records(found.pcap)]
    assert len(was) > 10
    assert [when for when, _ in got] == [when for when, _ in was]
    # tcpdump leaves out what pads a short frame.
    assert all(a.startswith(b) for (_, a), (_, b) in zip(was, got, strict=True))
    whole, printed = look(CAPTURE.read_bytes()), look(found.pcap)
    assert printed.flows == whole.flows
    assert printed.syns == whole.syns
    assert printed.too_big == whole.too_big


def look(pcap):
    return summarise(
        pcap,
        host="gw",
        point="gateway-wan",
        interface="wan1",
        basis="recorded output",
        command="",
        seconds=1.0,
        services=(),
    )


WORDS = st.sampled_from(
    [
        *("0x0000", "0x0010", "  0000:", "\t0x0000:", "0", "1", "4500", "0800", "020A", "ff"),
        *("\t", "   ", "E.", "2025-11-22 00:00:07.000250", "2025-02-30 00:00:07.1", "1763769607.5"),
        *(
            "   1: 23:59:59.999999",
            "   1: 99:99:99.9",
            "   0   74    7.0",
            "--More--",
            "\r",
            "\x08",
        ),
        *("0x99999", "abcd" * 9, "1.0", "9" * 20),
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SNIFFERS)),
    lines=st.lists(st.lists(WORDS | st.text(max_size=12), max_size=12), max_size=40),
    times=st.lists(st.lists(WORDS, max_size=6), max_size=10),
    began=st.floats(min_value=0, max_value=4e9),
)
def test_whatever_a_device_prints_gives_a_valid_capture_and_no_error(name, lines, times, began):
    text = "\n".join(" ".join(words) for words in lines)
    answers = {"packets": text, "times": "\n".join(" ".join(words) for words in times)}

    found = SNIFFERS[name](answers, began)

    packets = list(records(found.pcap))
    assert len(packets) == found.packets
    assert all(len(data) <= min(wire, MAX_PACKET_BYTES) for _, wire, data in packets)
    assert not look(found.pcap).truncated


def test_a_packet_that_claims_to_be_endless_is_bounded():
    rows = "".join(f"0x{at:04x}   {'4500 ' * 8}   E.\n" for at in range(0, 80_000, 16))

    found = SNIFFERS["fortinet"]({"packets": f"2025-11-22 00:00:07.1 x\n{rows}"}, BEGAN_S)

    assert found.packets == 0
    assert found.damaged == 1
