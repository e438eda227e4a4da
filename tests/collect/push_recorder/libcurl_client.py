"""A minimal caller of any libcurl: URL, options as ``key=value``; verbose, prints as curl does."""

from __future__ import annotations

import ctypes
import sys

VERBOSE, FAIL_ON_ERROR, TLS_VERSION, NO_SIGNAL = 41, 45, 32, 99
TIMEOUT_MS, CONNECT_TIMEOUT_MS, RESOLVE_FAMILY = 155, 156, 113
URL, ERROR_BUFFER, CERTIFICATE, KEY, AUTHORITY = 10002, 10010, 10025, 10087, 10065


def main() -> int:
    """Run one transfer and return curl's exit code."""
    library = ctypes.CDLL(sys.argv[1])
    url, options = sys.argv[2], dict(item.split("=", 1) for item in sys.argv[3:])
    if "version" in options:
        library.curl_version.restype = ctypes.c_char_p
        sys.stdout.write(library.curl_version().decode() + "\n")
        return 0
    library.curl_global_init(3)
    library.curl_easy_init.restype = ctypes.c_void_p
    library.curl_easy_strerror.restype = ctypes.c_char_p
    handle = ctypes.c_void_p(library.curl_easy_init())
    buffer = ctypes.create_string_buffer(512)

    def put(option: int, value: object) -> None:
        library.curl_easy_setopt(handle, ctypes.c_int(option), value)

    for option, key in ((CERTIFICATE, "cert"), (KEY, "key"), (AUTHORITY, "cacert")):
        if options.get(key):
            put(option, ctypes.c_char_p(options[key].encode()))
    for option, key in (
        (TIMEOUT_MS, "timeout"),
        (CONNECT_TIMEOUT_MS, "connect"),
        (TLS_VERSION, "tls"),
        (RESOLVE_FAMILY, "family"),
        (FAIL_ON_ERROR, "fail"),
    ):
        if options.get(key):
            put(option, ctypes.c_long(int(options[key])))
    put(VERBOSE, ctypes.c_long(1))
    put(NO_SIGNAL, ctypes.c_long(1))
    put(URL, ctypes.c_char_p(url.encode()))
    put(ERROR_BUFFER, ctypes.cast(buffer, ctypes.c_void_p))
    code = library.curl_easy_perform(handle)
    library.curl_easy_cleanup(handle)
    if code:
        words = buffer.value or library.curl_easy_strerror(code)
        sys.stderr.write(f"curl: ({code}) {words.decode(errors='replace')}\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
