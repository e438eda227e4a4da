"""No planted secret leaves, on any platform, in any encoding; ordinary lines stay as they were."""

import base64
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.evidence.pseudonyms import Pseudonyms
from mtughost.evidence.redact import SECRET_MARK, Redactor
from mtughost.evidence.secret_finder import find_secrets

#: How each platform writes a secret, after its command reference.
LINES = {
    "fortinet": (
        "        set psksecret {s}",
        "        set password ENC {s}",
        "        set passwd {s}",
        "        set passphrase {s}",
        "        set auth-pwd {s}",
        "        set secret {s}",
        "        set group-authentication-secret {s}",
    ),
    "cisco_ios": (
        "enable secret 9 {s}",
        "username bob privilege 15 password 7 {s}",
        "crypto isakmp key {s} address 192.0.2.1",
        "snmp-server community {s} RO",
        "radius-server host 192.0.2.9 auth-port 1812 key 7 {s}",
        " ip ospf message-digest-key 1 md5 7 {s}",
        " neighbor 192.0.2.2 password {s}",
        "  key-string 7 {s}",
    ),
    "cisco_asa": (
        "enable password {s} encrypted",
        "passwd {s} encrypted",
        " ikev1 pre-shared-key {s}",
        " ikev2 local-authentication pre-shared-key {s}",
        " ldap-login-password {s}",
        " key {s}",
        "snmp-server community {s}",
    ),
    "juniper_junos": (
        '        encrypted-password "{s}"; ## SECRET-DATA',
        '        pre-shared-key ascii-text "{s}"; ## SECRET-DATA',
        '        authentication-key "{s}";',
        "set system root-authentication encrypted-password {s}",
        '    secret "{s}";',
        '        simple-password "{s}";',
        "set snmp community {s} authorization read-only",
    ),
    "vyos": (
        "set vpn ipsec authentication psk a secret '{s}'",
        "set system login user vyos authentication plaintext-password '{s}'",
        "        pre-shared-secret {s}",
        "set service snmp community {s}",
        "set interfaces wireguard wg0 private-key '{s}'",
        "    password {s}",
        "set system login radius server 192.0.2.1 key '{s}'",
    ),
    "mikrotik_routeros": (
        "/ppp secret add name=bob password={s} service=pppoe",
        'add name=p1 wpa2-pre-shared-key="{s}" mode=dynamic-keys',
        "/ip ipsec identity add peer=a secret={s}",
        'add private-key="{s}" listen-port=13231',
        "/radius add address=192.0.2.1 secret={s}",
        "/snmp community add name=x authentication-password={s}",
        "/ip ipsec identity add preshared-key={s}",
    ),
    "openwrt": (
        "\toption key '{s}'",
        "\toption password '{s}'",
        "wpa_passphrase={s}",
        "auth_server_shared_secret={s}",
        '        psk="{s}"',
        "\toption preshared_key '{s}'",
        "network.wan.password='{s}'",
    ),
    "paloalto_panos": (
        "<phash>{s}</phash>",
        "<pre-shared-key><key>{s}</key></pre-shared-key>",
        "set network ike gateway g authentication pre-shared-key key {s}",
        "<secret>{s}</secret>",
        "<bind-password>{s}</bind-password>",
        "set mgt-config users admin phash {s}",
        "<community>{s}</community>",
    ),
    "hiveos": (
        "security-object X security protocol-suite wpa2-aes-psk ascii-key {s}",
        "hive h1 password {s}",
        "admin root-admin admin password {s}",
        "aaa radius-server 192.0.2.1 shared-secret {s}",
        "capwap client dtls passphrase {s}",
        "console passphrase {s}",
        "ppsk-web-server auth-user-password {s}",
        'err  system:  curl -k -f --basic -u VHM-STORE:{s} "https://192.0.2.1:443/x/"',
        "info  ah_cli: security: admin:<telegraf token {s} >",
        "[auth_basic]: Obtain PPSK PMK: {s}",
    ),
    "http": (
        "> Authorization: Bearer {s}",
        "> Cookie: session={s}",
        "* Connected to https://bob:{s}@192.0.2.1/push",
        "> X-Auth-Token: {s}",
        '{{"password": "{s}", "name": "x"}}',
        '{{"x_passphrase" : "{s}"}}',
        "GET /api?site=1&access_token={s}",
    ),
}
ENCODINGS = {
    "plain": lambda s: s,
    "quoted": lambda s: f'"{s}"',
    "base64": lambda s: base64.b64encode(b"id=7;" + s.encode() + b";end").decode(),
    "hex": lambda s: s.encode().hex(),
    "url": lambda s: quote(s, safe=""),
    "wrapped": lambda s: s[: len(s) // 2] + "\n" + s[len(s) // 2 :],
}
CASES = [
    (platform, line, encoding)
    for platform, lines in LINES.items()
    for line in lines
    for encoding in ENCODINGS
]
HARMLESS = [
    "service password-encryption",
    "set password-expire-days 90",
    "        set keylife 43200",
    "Host key verification failed.",
    "ssh: key exchange failed: no matching key exchange method",
    "hostapd: wlan0: STA 4-way handshake failed - pre-shared key may be incorrect",
    "no ip http secure-server",
    "radius-server attribute 6 on-for-login-auth",
    "tls-version-min 1.2",
    "interface vlan20",
    " ip tcp adjust-mss 1452",
    '{"rt": {"key": "mtu"}}, {"mangle": {"key": {"tcp option": {"name": "maxseg"}}}}',
    '"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "vlan30"}',
    "2026-11-21 02:14:07 radsecproxy: got Access-Accept (key found)",
    "username policy: none",
    "  1  192.0.2.1  1.2 ms  7 core1.example  9.1 ms",
]


def secret_for(number):
    """Return a fake secret that is unlike every other, with marks that encodings change."""
    return f"Fake+{number:04d}/Zq&{(number * 7919) % 99991:05d}xYw"


def redactor(**more):
    return Redactor(Pseudonyms(b"not-a-real-key-not-a-real-key-00"), **more)


def forms(secret):
    """Return what must not be found: the secret and its middle, plain and encoded."""
    inner = secret[3:-3]
    return {
        secret,
        inner,
        quote(secret, safe=""),
        secret.encode().hex(),
        base64.b64encode(secret.encode()).decode()[:-4],
    }


def test_at_least_three_hundred_secrets_on_eight_platforms_in_six_encodings_are_planted():
    assert len(CASES) >= 300
    assert len(LINES) >= 8
    assert len(ENCODINGS) == 6


@pytest.mark.parametrize("platform", LINES)
def test_a_secret_beside_its_word_goes_in_every_encoding(platform):
    leaked = []
    for number, (name, line, encoding) in enumerate(CASES):
        if name != platform or (encoding == "quoted" and '"' in line):
            continue
        secret = secret_for(number)
        text = "hostname x\n" + line.format(s=ENCODINGS[encoding](secret)) + "\nend\n"
        tool = redactor()
        tool.learn([text])
        out = tool.text(text, where="a")
        found = [form for form in forms(secret) if form in out or form in "".join(out.split())]
        if found or SECRET_MARK not in out:
            leaked.append((line, encoding, out))

    assert leaked == []


@pytest.mark.parametrize("platform", LINES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_known_from_one_answer_goes_wherever_else_it_turns_up(platform, encoding):
    for number, line in enumerate(LINES[platform]):
        secret = secret_for(number + 5000)
        config = "hostname x\n" + line.format(s=secret) + "\nend\n"
        log = f"something unrelated\nblob {ENCODINGS[encoding](secret)} tail\nlast line\n"
        tool = redactor()
        tool.learn([config, log])

        out = tool.text(log, where="log")

        assert not [f for f in forms(secret) if f in out or f in "".join(out.split())], out
        assert "last line" in out
        assert not tool.leftover(out)


def test_the_runs_own_secrets_go_even_when_they_are_common_words():
    tool = redactor()
    tool.learn([], own_secrets=["Welcome1"])

    assert tool.text("login: bob Welcome1\n", where="a") == f"login: bob {SECRET_MARK}\n"


def test_a_secret_split_by_a_terminal_code_is_one_secret():
    text = "set psksecret Fake\x1b[7mSecret\x1b[0m0815\n"

    assert "0815" not in redactor().text(text, where="a")


def test_a_private_key_goes_whole_and_its_lines_still_count():
    body = "\n".join(["MIIfakefakefake"] * 5)
    text = f"a\n-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\nz\n"

    out = redactor().text(text, where="a")

    assert "MII" not in out
    assert out.count("\n") == text.count("\n")
    assert out.endswith("z\n")


@pytest.mark.parametrize("line", HARMLESS)
def test_an_ordinary_line_about_keys_and_passwords_stays(line):
    assert redactor(keep=frozenset({"address", "mac"})).text(line, where="a") == line


def test_of_the_real_samples_hardly_a_line_is_lost(shared):
    lines = lost = 0
    for path in sorted((shared / "samples").rglob("*.txt")):
        text = path.read_text(encoding="utf-8", errors="replace")
        touched = {text.count("\n", 0, span.start) for span in find_secrets(text)}
        lines += text.count("\n") + 1
        lost += len(touched)

    assert lines > 10_000
    assert lost / lines < 0.02


def test_what_looks_like_a_secret_and_is_not_known_as_one_is_reported_once_looked_at_not():
    token = "q8Xv2LmZt0Rk7Yw3Pn5Bd9Hs"
    tool = redactor()
    tool.text(f"misc-blob {token}\n", where="ap1/log")
    (suspicion,) = tool.suspicions

    assert suspicion.where == "ap1/log"
    assert token not in f"{suspicion}"
    again = redactor(harmless=frozenset({suspicion.digest}))
    again.text(f"misc-blob {token}\n", where="ap1/log")
    assert again.suspicions == []


@given(st.text(alphabet=string.printable + "\x1b\x00\u202e", max_size=400))
def test_any_text_is_redacted_without_trouble_and_keeps_its_number_of_lines(text):
    tool = redactor()
    tool.learn([text])

    assert tool.text(text, where="a").count("\n") == text.count("\n")
