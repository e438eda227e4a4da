# Turns the ifupdown stanzas of /etc/network/interfaces into "ip -batch" lines.
# Understood: auto, iface NAME inet static|loopback|manual, address, gateway, mtu,
# and pre-up, up, post-up lines that call ip.
function flush_iface() {
    if (name == "") return
    for (i = 1; i <= pres; i++) print pre[i]
    if (mtu != "") print "link set dev " name " mtu " mtu
    if (address != "") print "address add " address " dev " name
    print "link set dev " name " up"
    if (gateway != "") print "route add default via " gateway " dev " name
    for (i = 1; i <= ups; i++) print up[i]
    name = mtu = address = gateway = ""
    pres = ups = 0
}
function ip_line(    text) {
    text = $0
    sub(/^[ \t]*[a-z-]+[ \t]+/, "", text)
    if (text !~ /^ip[ \t]/) { print "cannot run: " text > "/dev/stderr"; bad = 1; return "" }
    sub(/^ip[ \t]+/, "", text)
    return text
}
/^[ \t]*(#|$)/ { next }
$1 == "auto" || $1 == "allow-hotplug" { next }
$1 == "iface" { flush_iface(); name = $2; next }
$1 == "address" { address = $2; next }
$1 == "gateway" { gateway = $2; next }
$1 == "mtu" { mtu = $2; next }
$1 == "pre-up" { pre[++pres] = ip_line(); next }
$1 == "up" || $1 == "post-up" { up[++ups] = ip_line(); next }
{ print "cannot read: " $0 > "/dev/stderr"; bad = 1 }
END { flush_iface(); exit bad }
