#!/bin/sh
# make compose-demo: brings docker-compose.yml up, shows what it does with curl, and leaves it up.
set -eu
cd "$(dirname "$0")/../.."
compose=${COMPOSE:-docker-compose}
web=http://127.0.0.1:${WEB_PORT:-8080}/

log=$(mktemp)
trap 'rm -f "$log"' EXIT

docker info >/dev/null 2>&1 || { echo "compose-demo: no Docker engine answers (docker info)" >&2; exit 1; }

title() { printf '\n%s\n\n' "$*"; }
show() { # command, as the reader can type it
	printf '  $ %s\n' "$*"
	eval "$*" 2>&1 | sed 's/^/  /'
}
quietly() { # command whose output matters only where it fails
	echo "  \$ $*"
	"$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
}
await() { # what, command that succeeds when it is so
	tries=0
	until eval "$2" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 150 ] || { echo "compose-demo: $1: not in time; see: $compose logs" >&2; exit 1; }
		sleep 0.2
	done
	echo "  ok: $1"
}
served() { curl -sf -o /dev/null -H "Host: $1" "$web"; }
answers() { # how often web1 is among 10 answers of a.abc.com
	for _ in 1 2 3 4 5 6 7 8 9 10; do curl -s -H 'Host: a.abc.com' "$web"; done | grep -c web1 || true
}

title "1. Build hapsync (this takes minutes the first time), and start etcd, HAProxy, the agent, three web servers and their registrations"
quietly $compose build
unset VERSION # of the images; containers that were made with it would be made anew by the commands below
quietly $compose up -d
await "a.abc.com and b.abc.com are served" "served a.abc.com && served b.abc.com && [ \$(answers) -eq 5 ]"

title "2. The registrations have written the hosts to etcd, and the agent has brought HAProxy in line"
show "$compose exec -T etcd etcdctl get --prefix /services/web/a.abc.com/web1/"
show "$compose exec -T agent hapsync list"

title "3. The two hosts of a.abc.com take turns; a client with a cookie comes back to its own; b.abc.com has another host"
for _ in 1 2 3 4; do show "curl -s -H 'Host: a.abc.com' $web"; done
for _ in 1 2 3; do show "curl -s -H 'Host: a.abc.com' -b SERVERID=web2 $web"; done
show "curl -s -H 'Host: b.abc.com' $web"

title "4. A web server stops: it is out of service before it does"
quietly $compose stop web1
await "a.abc.com is served by web2 alone" "[ \$(answers) -eq 0 ]"
quietly $compose start web1
await "web1 takes its turn again" "[ \$(answers) -eq 5 ]"

title "5. A web server is killed: its registration finds out, and so does HAProxy"
quietly $compose kill web1
await "a.abc.com is served by web2 alone" "[ \$(answers) -eq 0 ]"
quietly $compose start web1
await "web1 takes its turn again" "[ \$(answers) -eq 5 ]"

title "6. What the agent did"
show "$compose exec -T agent hapsync status"

cat <<TEXT

All of it runs on:

  HAProxy                      $web (with a Host header, as above)
  HAProxy's statistics page    http://127.0.0.1:${STATS_PORT:-8404}/stats
                               (its password: $compose exec haproxy grep auth /etc/haproxy/haproxy.cfg)
  the agent                    http://127.0.0.1:${AGENT_PORT:-9101}/status, /readyz, /metrics

Try:

  $compose logs -f agent haproxy
  $compose pause web2
  $compose exec etcd etcdctl put /services/web/d.abc.com/server1/ip ${NET:-10.213.7}.13
  $compose exec etcd etcdctl put /services/web/d.abc.com/server1/port 8080
  curl -H 'Host: d.abc.com' $web
  $compose --profile two-balancers up -d
  $compose --profile cluster up -d
  DOCKER_GID=\$(stat -c %g /var/run/docker.sock) $compose --profile docker up -d --scale web=3
  curl -H 'Host: c.abc.com' $web

and to end it:

  $compose --profile two-balancers --profile cluster --profile docker down -v
TEXT
