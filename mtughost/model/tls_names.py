"""Names of TLS alerts and versions, shared by the capture reader and the service probe."""

from __future__ import annotations

import re

#: Alert descriptions (RFC 8446 section 6, RFC 5246 section 7.2, IANA TLS Alerts registry).
ALERT_NAMES: dict[int, str] = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}

#: Names that inspecting firewalls and proxies put into the certificates that they make.
INSPECTORS: re.Pattern[str] = re.compile(
    r"fortigate|fortinet|zscaler|palo ?alto|forward[- ]trust|blue ?coat|sophos|watchguard"
    r"|check ?point|barracuda|umbrella|netskope|goskope|squid|sonicwall|untangle|smoothwall|kerio"
    r"|mitmproxy|forcepoint|websense|iboss|securly|skyhigh|mcafee web gateway|menlo security"
    r"|cato networks|(?:ssl|tls)[ -]inspection|decrypt(?:ion|ed)? ca|proxy ca",
    re.IGNORECASE,
)

VERSION_NAMES: dict[int, str] = {
    0x0300: "SSL 3.0",
    0x0301: "TLS 1.0",
    0x0302: "TLS 1.1",
    0x0303: "TLS 1.2",
    0x0304: "TLS 1.3",
}

#: Content types of a TLS record (RFC 8446 section 5.1).
CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23

#: Longest record body: 2^14 plus what TLS 1.2 allows for protection (RFC 5246 section 6.2.3).
MAX_RECORD_BYTES = (1 << 14) + 2048


def alert_name(description: int) -> str:
    """Return the registered name of an alert, or ``alert N``."""
    return ALERT_NAMES.get(description, f"alert {description}")
