"""What IQ Engine shows: the layouts of recorded output, filled with a virtual device's state."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtughost.lab.fleet.hiveos import Entry, HiveAp

_CLOUD = "198.51.100.20"
_ICMP_HEADERS = 28


def version(device: HiveAp) -> str:
    """``show version``."""
    return (
        "Copyright (c) 2006-2026 Extreme Networks, Inc.\n\n"
        f"Version:            {device.identity.version} build-91a62d2\n"
        "Build time:         Thu Oct 02 15:19:15 UTC 2025\n"
        "Build cookie:       2510020819-91a62d2\n"
        f"Platform:           {device.identity.model}\n"
        "Bootloader ver:     v0.0.4.69\n"
        "TPM ver:            v2.0.1.38\n"
        f"Uptime:             0 weeks, 0 days, 5 hours, {device.uptime_s // 60 % 60} minutes, "
        f"{device.uptime_s % 60} seconds\n"
        "FIPS capable:       No\n"
    )


def hw_info(device: HiveAp) -> str:
    """``show hw-info``."""
    return (
        f"Ethernet MAC address:         {device.mac}\n"
        f"Serial number:                {device.identity.serial}\n"
        "Hardware revision:            01\n"
        f"Product name:                 {device.identity.model}\n"
        "Hardware ID:                  0\n"
        "Number of MAC addresses:      64\n"
        "TPM Status:                   success\n"
    )


def running_config(device: HiveAp) -> str:
    """``show running-config``."""
    config = device.running
    lines = ["security mac-filter Store default permit", "admin root-admin admin password ***"]
    lines.append(f"hostname {config.hostname}")
    if config.mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        lines.append(f"interface mgt0 mtu {config.mtu_bytes}")
    lines += [f"aaa radius-server proxy radsec tls-port {port}" for port in config.tls_ports]
    lines.append(f"console page {config.page_lines}")
    return "".join(line + "\n" for line in lines)


def mgt0(device: HiveAp) -> str:
    """``show interface mgt0``."""
    own = ipaddress.IPv4Interface(device.plan.address)
    return (
        "Admin state=enabled; Operational state=up;\n"
        "DHCP client=enabled; \n"
        "Default IP subnet=192.168.0.0/255.255.0.0;\n"
        f"IP addr={own.ip}; Netmask={own.netmask}; Default Gateway:{device.plan.gateway};\n"
        "IPV6 address autoconfig enable\n"
        "IPV6 link local addr=fe80::261f:bdff:fe33:9800/64\n"
        "VLAN id=1;  Native vlan id=1; Tagging of Native vlan: disabled\n"
        f"MAC addr={device.mac}; MTU={device.running.mtu_bytes};\n"
        "Rx packets=2990; errors=0; dropped=2;\n"
        "Tx packets= 804; errors=0; dropped=0;\n"
        "Rx bytes=460730 (449.932 KB); Tx bytes=152917 (149.333 KB);\n"
    )


def eth0(device: HiveAp) -> str:
    """``show interface eth0``."""
    return (
        "Admin state=enabled; Operational state=up;\n"
        "Mode=backhaul; Bind interface=none;\n"
        f"MAC addr={device.mac}; MTU=1500; Speed=1000Mbps; Duplex=full;\n"
        "Rx packets=2990; errors=0; dropped=2;\n"
        "Tx packets= 804; errors=0; dropped=0;\n"
    )


def dhcp_client(device: HiveAp) -> str:
    """``show interface mgt0 dhcp client``."""
    own = ipaddress.IPv4Interface(device.plan.address)
    gateway = device.plan.gateway
    return (
        "HM=HiveManager; SLS=system log server; \n\n"
        "DHCP client: Enabled\n"
        "Timeout for applying static IP or default IP: 20 secs\n"
        f"State: Network configuration received; Get IP address {own.ip} "
        f"from the server {gateway}; Relay agent 0.0.0.0\n"
        "Lease time: 86400 seconds; VLAN: 1\n"
        "Duration time: 2882 seconds\n\n"
        "Get options from server:\n"
        f"Netmask (option number 1): {own.netmask}   \n"
        f"Router (option number 3):     {gateway}   \n"
        "DNS server (option number 6): 192.0.2.53      \n"
        "Log server (option number 7): \n"
        "HM string (option 43 suboption 225):                                 \n"
        "HM IP (option 43 suboption 226): \n"
        "PPSK server IP (option 43 suboption 229): \n"
        "RADIUS server IP (option 43 suboption 230): \n"
    )


def ip_route(device: HiveAp) -> str:
    """``show ip route``."""
    net = ipaddress.IPv4Interface(device.plan.address).network
    return (
        "Ref=references; Iface=interface;\n"
        "U=route is up;H=target is a host; G=use gateway;\n"
        "Destination     Gateway         Netmask         Flags Metric Ref    Use Iface\n"
        "--------------- --------------- --------------- ----- ------ ------ --- -----\n"
        f"0.0.0.0         {device.plan.gateway:<15} 0.0.0.0         UG    0      0        0 mgt0\n"
        "127.0.0.0       0.0.0.0         255.255.255.0   U     0      0        0 lo\n"
        f"{net.network_address!s:<15} 0.0.0.0         {net.netmask!s:<15} "
        "U     0      0        0 mgt0\n"
    )


def dns(device: HiveAp) -> str:  # noqa: ARG001 - every view takes its device
    """``show dns``."""
    return (
        "DNS server configuration:\n"
        "Domain name suffix: \n"
        "Primary   : 192.0.2.53\n"
        "Secondary : 0.0.0.0\n"
        "Tertiary  : 0.0.0.0\n"
    )


def capwap_client(device: HiveAp) -> str:
    """``show capwap client``: connected over UDP whatever the path does to large segments."""
    return (
        "CAPWAP client:   Enabled \n"
        f"CAPWAP transport mode:  {device.running.transport}\n"
        "RUN state: Connected securely to the CAPWAP server \n"
        f"CAPWAP client IP:        {device.address}\n"
        f"CAPWAP server IP:        {_CLOUD}\n"
        "HiveManager Primary Name:cws.cloud.example.net\n"
        "CAPWAP Default Server Name: redirector.cloud.example.net\n"
        "Virtual HiveManager Name: VHM-STORE\n"
        "Server destination Port: 12222\n"
        "CAPWAP send event:       Enabled\n"
        "CAPWAP DTLS state:       Enabled\n"
        "CAPWAP DTLS negotiation: Disabled\n"
        "     DTLS next connect status:   Enable\n"
        "     DTLS session status: Connected\n"
        "     DTLS handshake wait interval: 60 seconds\n"
        "Heartbeat interval:     30 seconds\n"
        "Neighbor dead interval:105 seconds\n"
        "Keepalives lost/sent:    1/4127\n"
        "Event packet drop due to loss connection: 3\n"
    )


def hivemanager(device: HiveAp) -> str:  # noqa: ARG001
    """``show hivemanager``."""
    return (
        "HiveManager Primary:\tcws.cloud.example.net\n"
        "HiveManager connection: Connected securely to Aerohive\n"
    )


def idm(device: HiveAp) -> str:
    """``show idm``: who was elected."""
    config = device.running
    certificate = "Valid" if config.has_certificate else "Not exist"
    text = (
        f"IDM client: {'Enabled Per SSID' if config.uses_idm else 'Disabled'}\n"
        f"IDM Proxy IP: {config.proxy or '0.0.0.0'}\n"  # noqa: S104 - nobody
        f"IDM proxy: {'Enabled' if device.is_proxy else 'Disabled'}\n"
        f"RadSec Certificate state: {certificate}\n"
    )
    if config.has_certificate:
        text += (
            "RadSec Certificate Issued: 2026-02-14 00:30:52 GMT\n"
            "RadSec Certificate Expires: 2027-02-13 00:30:52 GMT\n"
        )
    return text


def radius_server(device: HiveAp) -> str:
    """``show aaa radius-server``."""
    config, runs = device.running, device.is_proxy
    return (
        "All local RADIUS server parameters:\n\n"
        "Local RADIUS:          Disabled\n"
        "Auth Port:             1812\n"
        "Acct Port:             1813\n"
        "Proxy:                 Disabled\n"
        "Station Auth Type:     tls peap ttls leap md5\n"
        "Library SIP:           Disabled\n"
        "primary library SIP parameters:\n"
        " Port:                 6001\n\n"
        "RADSEC proxy parameters:\n\n"
        f"RADSEC proxy:          {'Enabled' if runs else 'Disabled'}\n"
        "AuthPort:              1812\n"
        "AcctPort:              1813\n"
        f"TlsPort:               {' '.join(map(str, config.tls_ports))} \n"
        f"Certificate:           {'Exist' if config.has_certificate else 'Not exist'}\n"
        f"RADSEC proxy be elected:  {'Yes' if runs else 'No'}\n"
    )


def _printed(entries: list[Entry]) -> str:
    return "".join(f"{e.at:%Y-%m-%d %H:%M:%S} {e.level:<7} {e.words}\n" for e in entries)


def buffered(device: HiveAp) -> str:
    """``show logging buffered``, newest first."""
    return _printed(device.log())


def flash(device: HiveAp) -> str:
    """``show logging flash``, newest first."""
    return _printed(device.kept_log())


def clock(device: HiveAp) -> str:
    """``show clock``, local time."""
    return f"    {device.now:%Y-%m-%d  %H:%M:%S  %A}\n"


def time_zone(device: HiveAp) -> str:  # noqa: ARG001
    """``show time-zone``."""
    return "Timezone:           GMT-5:00\n"


def ntp(device: HiveAp) -> str:  # noqa: ARG001
    """``show ntp``."""
    return (
        "State:              Enable\n"
        "Interval:           180 minutes\n"
        "  First             0.aerohive.pool.ntp.org(active)\n"
        "Daylight Saving Time: Yes\n"
        "    Start             03-08 01:59:59\n"
        "    End               11-01 01:59:59\n"
    )


def ping(device: HiveAp, words: list[str]) -> str:
    """``ping ADDRESS [count N] [size N]``: size is ICMP payload; what is too big gets no answer."""
    if not words:
        return "\nERROR: Incomplete command\n"
    options = dict(zip(words[1::2], words[2::2], strict=False))
    count, size = int(options.get("count", "5")), int(options.get("size", "56"))
    fits = size + _ICMP_HEADERS <= device.plan.path_mtu_bytes
    host = words[0]
    text = f"\nPING {host} ({host}): {size} data bytes\n"
    if fits:
        text += "".join(
            f"{size + 8} bytes from {host}: seq={number} ttl=55 time=15.{number} ms\n"
            for number in range(count)
        )
    loss = 0 if fits else 100
    text += (
        f"\n--- {host} ping statistics ---\n"
        f"{count} packets transmitted, {count if fits else 0} received, {loss}% packet loss\n"
    )
    return text + ("round-trip min/avg/max = 15.0/15.1/15.2 ms\n" if fits else "")
