#!/bin/sh
# A Ceph object store of its own: one monitor, one OSD in memory, one gateway; all state in a folder.
#
#   ceph.sh FOLDER PORT MON_PORT    prints "ready" when it answers; ends when its standard input does
#
# Needs radosgw, ceph-osd and ceph-mon. Access key `tester`, secret `tester-secret`.
set -eu
D=$1 PORT=$2 MON=$3
exec 3>&1 >"$D/setup.log" 2>&1
export CEPH_CONF="$D/ceph.conf"
FSID=$(cat /proc/sys/kernel/random/uuid)
OSD=$(cat /proc/sys/kernel/random/uuid)
mkdir -p "$D/mon" "$D/osd" "$D/rgw" "$D/run"
cat >"$CEPH_CONF" <<CONF
[global]
fsid = $FSID
mon host = [v2:127.0.0.1:$MON,v1:127.0.0.1:$((MON + 1))]
public addr = 127.0.0.1
keyring = $D/keyring
run dir = $D/run
admin socket = $D/run/\$name.sock
log file = $D/\$name.log
pid file = $D/run/\$name.pid
crash dir = $D/run
mon data = $D/mon
osd data = $D/osd
rgw data = $D/rgw
osd objectstore = memstore
memstore device bytes = 2147483648
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon warn on pool no redundancy = false
mon allow pool size one = true
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$PORT
rgw crypt require ssl = false
CONF

stop() {
    for name in client.rgw.a osd.0 mon.a; do
        if [ -f "$D/run/$name.pid" ]; then kill -9 "$(cat "$D/run/$name.pid")" || true; fi
    done
}
trap stop EXIT

for who in 'mon.' 'client.admin' 'osd.0' 'client.rgw.a'; do
    ceph-authtool "$D/keyring" $([ -f "$D/keyring" ] || echo --create-keyring) --gen-key -n "$who" \
        --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' --cap mds 'allow *'
done
monmaptool --create --fsid "$FSID" --addv a "[v2:127.0.0.1:$MON,v1:127.0.0.1:$((MON + 1))]" "$D/monmap"
ceph-mon --mkfs -i a --monmap "$D/monmap" --keyring "$D/keyring"
ceph-mon -i a
ceph osd new "$OSD"
ceph auth import -i "$D/keyring"
ceph-osd -i 0 --mkfs --osd-uuid "$OSD"
ceph-osd -i 0
radosgw -n client.rgw.a
radosgw-admin user create --uid=tester --display-name=tester --access-key=tester --secret-key=tester-secret
tries=0
until curl -s -o "$D/answer" "http://127.0.0.1:$PORT/"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ]
    sleep 0.2
done
echo ready >&3
cat >"$D/rest" <&0
