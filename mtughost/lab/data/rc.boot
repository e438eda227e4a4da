#!/bin/sh
# First process of a lab device. Boots it from its saved files and from nothing else:
# /etc/network/interfaces, /etc/sysctl.conf, /etc/nftables.conf, /etc/iptables/rules.v4 and .v6,
# then the services in /etc/rc.d. Started again by a reboot.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LC_ALL=C.UTF-8
exec </dev/null >>/var/log/boot.log 2>&1
echo "boot $(date -u +%Y-%m-%dT%H:%M:%SZ)"
failed=0
awk -f /etc/network/ifup.awk /etc/network/interfaces >/run/network.batch || failed=1
ip -batch /run/network.batch || failed=1
if [ -s /etc/sysctl.conf ]; then sysctl -q -p /etc/sysctl.conf || failed=1; fi
if [ -s /etc/nftables.conf ]; then nft -f /etc/nftables.conf || failed=1; fi
if [ -s /etc/iptables/rules.v4 ]; then iptables-restore </etc/iptables/rules.v4 || failed=1; fi
if [ -s /etc/iptables/rules.v6 ]; then ip6tables-restore </etc/iptables/rules.v6 || failed=1; fi
mkdir -p /run/sshd
/usr/sbin/sshd -D -f /etc/ssh/sshd_config -E /var/log/sshd.log &
for service in /etc/rc.d/*; do
    [ -x "$service" ] && { "$service" & }
done
echo "$failed" >/run/booted
# The first process inherits every orphan and must reap it; "wait" does.
while :; do
    sleep 2147483647 &
    wait
done
