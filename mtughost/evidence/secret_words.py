"""The words that announce a secret in configurations, logs and headers of the supported platforms.

Written after the vendors' command references (FortiOS, IOS, ASA, Junos, VyOS, RouterOS, PAN-OS,
OpenWrt, HiveOS, ArubaOS) and the formats of hostapd, wpa_supplicant, FreeRADIUS and HTTP.
"""

from __future__ import annotations

import re
from typing import Final


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


#: A whole word that announces a secret wherever it stands.
KEYWORD: Final = re.compile(
    r"""(?ix)
    (?<![\w$])
    (?P<word>
      [\w.-]{0,40}?
      (?: passw(?:or)?d | passwrd | passphrase | (?<![a-z])pwd | secret | psk
        | pre[-_]?shared[-_]?key | presharedkey | private[-_]?key | privkey | privatekey
        | phash | phrase | authkey | auth[-_]?pass | communit(?:y|ies) | api[-_]?key | apikey
        | token | cookie | credential s? | bearer | authorization | otp[-_]?seed
        | key[-_](?:string|value|data|hash|chain-secret) | (?<![a-z])ppk
        | (?: auth(?:entication)? | encrypt(?:ion)? | encr | priv(?:acy)? | shared | access | wep
            | wpa | ascii | hex | hash | session | message[-_]digest | crypt | console
            | master | login
            | server | radius | tacacs | ospf | bgp | ike | peer | enc | hmac | cipher | security
          )[-_]?key
        | md5[-_]?(?:key|password|secret) | sae
      )
      (?: [-_.]? (?: \d{1,3} | ref | str(?:ing)? | text | hash | value | data | raw | file | name
                   | remote | local | primary | secondary | encrypted | enc
                   | plain(?:text)?
                   | clear(?:text)? ) ){0,2}
    )
    (?![\w-])
    """
)

#: Longer words that only look like one: settings about secrets, not secrets.
NOT_A_KEYWORD: Final = re.compile(
    r"""(?ix)
      (?:password|passwd|secret|key|psk|token|community|credential)[-_]?(?:policy|expir\w*|age|aging|
      length|history|encryption|auth\w*|recover\w*|strength|change|reset|retry|attempts|timeout|
      lifetime|name|file|type|index|id)$
      | ^wpa\d?-?(?:eap|psk)\+\w+$
      | ^extcommunit | ^route-communit
    """
)

#: ``key`` alone says too much to be trusted everywhere.
BARE_KEY: Final = re.compile(r"(?i)(?<![\w-])(?P<before>[\w-]+[ \t]+)?(?P<word>key)(?![\w-])")
NOT_BEFORE_KEY: Final = words(
    """
    host public ssh rsa dsa ecdsa ed25519 foreign sort server a the this that any no wrong new
    ephemeral dh ecdh session primary index hash-by press unknown pre-shared shared hostkey hit
    with of peer crypto sort activation permanent product license licence
    """
)
NOT_AFTER_KEY: Final = words(
    """
    exchange verification agreement usage size length lifetime fingerprint generate pair type id
    index management mgmt update file store identifier derivation share shares chain handshake
    may mismatch not bits algorithm algorithms found negotiation for of to
    """
)

#: Between the word and its value.
MODIFIER: Final = words(
    """
    enc encrypted ascii ascii-text hex plaintext plain-text cleartext clear plain secret value
    key local remote is was type string md5 sha sha1 sha256 hmac-md5 hmac-sha-1 aes aes128 des
    text data hash bearer basic digest enc-ascii radius tacacs localkey 0 5 6 7 8 9
    """
)

#: Values that hold nothing.
BENIGN: Final = words(
    """
    enable enabled disable disabled true false yes no on off none null nil empty required
    optional default auto any all both set unset configured present absent hidden removed n/a
    not-set unknown ok failed fail failure success valid invalid incorrect wrong mismatch expired
    rejected accepted missing required. authentication authenticated for of to from and or the in
    by with on at has have had may must can will be been are if that it its this not after before
    when while only per user users server client redacted policy manager protection access
    request prompt field option options mode method requests changed unchanged
    """
)

#: Shapes that are secrets by themselves, without any word before them.
SHAPES: Final = (
    re.compile(r"(?P<value>\$(?:1|2[abxy]?|5|6|7|8|9|14|y|gy|sha1|md5|nt|apr1)\$[^\s\"'<>;,]+)"),
    re.compile(r"(?<![\w+/])ENC[ \t]+(?P<value>[A-Za-z0-9+/=]{8,})"),
    re.compile(r"(?<![\w+/])(?P<value>(?:AK1|SH2)[A-Za-z0-9+/=]{20,})"),
    re.compile(r"(?<![\w-])(?P<value>eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*)"),
    # curl's account on its command line, which HiveOS copies into its log; and what its debug
    # output shows of a private PSK.
    re.compile(r"(?<![\w-])(?:-u|--user) [^\s:\"]{1,128}:(?P<value>[^\s\"]{1,256})"),
    re.compile(r"\bPMK: {1,4}(?P<value>[^\s]{4,256})"),
    re.compile(r"://[^\s/@:]{1,128}:(?P<value>[^\s@]{1,256}(?:\r?\n[^\s@]{1,256})?)@"),
    re.compile(r"(?<![\w+/=-])(?P<value>-AQ==[A-Za-z0-9+/=]{8,})"),
)

PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{3,40})-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
