"""FreeRADIUS as the lab's cloud runs it: RADsec on several addresses, one certificate each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One service address.

    Attributes:
        certificate: Name of its certificate and key files.
        rejects: Whether it answers every question with no.
    """

    address: str
    certificate: str
    rejects: bool = False


def radiusd_conf(listeners: tuple[Listener, ...], port: int, home: str) -> str:
    """Return ``radiusd.conf`` of a server in directory ``home``."""
    text = f"""name = radiusd
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {home}
logdir = {home}
run_dir = {home}
pidfile = {home}/radiusd.pid
max_request_time = 30
max_requests = 4096
hostname_lookups = no
log {{
    destination = files
    file = {home}/radius.log
}}
security {{
    allow_core_dumps = no
    max_attributes = 200
    reject_delay = 0
    status_server = yes
}}
thread pool {{
    start_servers = 4
    max_servers = 16
    min_spare_servers = 2
    max_spare_servers = 8
    max_requests_per_server = 0
}}
modules {{
}}
server lab {{
    authorize {{
        update control {{
            Auth-Type := Accept
        }}
        update reply {{
            Reply-Message := "key found"
        }}
    }}
}}
server strict {{
    authorize {{
        update control {{
            Auth-Type := Reject
        }}
    }}
}}
clients radsec {{
    client sites {{
        ipaddr = 0.0.0.0/0
        proto = tls
        secret = radsec
        limit {{
            max_connections = 0
            lifetime = 0
            idle_timeout = 0
        }}
    }}
    client sites6 {{
        ipv6addr = ::/0
        proto = tls
        secret = radsec
        limit {{
            max_connections = 0
            lifetime = 0
            idle_timeout = 0
        }}
    }}
}}
"""
    for each in listeners:
        kind = "ipv6addr" if ":" in each.address else "ipaddr"
        server = "strict" if each.rejects else "lab"
        text += f"""listen {{
    {kind} = {each.address}
    port = {port}
    type = auth+acct
    proto = tcp
    virtual_server = {server}
    clients = radsec
    limit {{
        max_connections = 0
        lifetime = 0
        idle_timeout = 60
    }}
    tls {{
        private_key_file = {home}/{each.certificate}.key
        certificate_file = {home}/{each.certificate}.pem
        ca_file = {home}/ca.pem
        fragment_size = 8192
        cipher_list = "DEFAULT"
        ecdh_curve = ""
        tls_min_version = "1.2"
        tls_max_version = "1.3"
        require_client_cert = yes
    }}
}}
"""
    return text
