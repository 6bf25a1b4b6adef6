# Runs the commands of a page, the file $1, as root on a machine that is fresh as far as they see: what they write goes to
# memory. It ends with the first command that fails. $2 is a directory for that, with hapsync in bin/, $3 is etcd.
# systemd does not run in a mount namespace: what the pages ask of it is done here, with the files that they write for it.
set -eu
mount -t tmpfs none "$2/upper"
for dir in etc var usr; do
    mkdir "$2/upper/$dir" "$2/upper/$dir.work"
    mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$2/upper/$dir,workdir=$2/upper/$dir.work" "/$dir"
done
mount -t tmpfs -o mode=755 none /run
install -d -o haproxy -g haproxy /run/haproxy
rm -rf /etc/hapsync /etc/haproxy/hapsync.cfg /var/lib/hapsync
ip link set lo up
"$3" --data-dir "$2/upper/etcd" --log-level error &
cd "$2"
export ETCDCTL_API=3
unset HAPSYNC_CONFIG_FILE
HAPSYNC_FLAGS= # of hapsync check, where the files are not the usual ones

sudo() { "$@"; }

# until runs a command until it succeeds, for half a minute at most.
until_true() {
    tries=300
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { "$@"; return 1; }
        sleep 0.1
    done
}

systemctl() {
    case "$*" in
    "daemon-reload") ;;
    "disable --now confd") ;;
    "restart haproxy")
        [ -z "${haproxy:-}" ] || { kill "$haproxy"; wait "$haproxy" || true; }
        unit=/etc/systemd/system/haproxy.service.d/hapsync.conf
        if [ -e $unit ]; then
            set -- $(sed -n 's|^ExecStart=\(/.*\) -Ws |\1 -W |p' $unit)
        else
            . /etc/default/haproxy
            set -- haproxy -W -f "$CONFIG" $EXTRAOPTS
        fi
        "$@" &
        haproxy=$!
        until_true hapsync check $HAPSYNC_FLAGS
        ;;
    "enable --now hapsync-agent")
        runuser -u "$(sed -n s/^User=//p /etc/systemd/system/hapsync-agent.service)" -- \
            $(sed -n s/^ExecStart=//p /etc/systemd/system/hapsync-agent.service) &
        until_true hapsync status
        ;;
    *) echo "systemctl $*: not known here"; return 1 ;;
    esac
}

until_true etcdctl endpoint health
set -x
. "$1"
