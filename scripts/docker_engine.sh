#!/usr/bin/env bash
# A Docker engine, and a registry in ECR's place, where there is none: CI and bare Debian machines without systemd.
# Does not touch an engine that somebody else started.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: scripts/docker_engine.sh COMMAND

  start            make sure a Docker engine answers; installs Debian's docker.io if there is none (root only)
  stop             stop the engine that `start` started, and no other
  registry start   a registry with a login (user AWS) on 127.0.0.1:5000; prints the path of the password's file
  registry stop    stop it, and remove what was pushed to it

Environment:
  KENNEL_STATE_DIR       where process ids, logs and the password are kept (0700)
                         [${XDG_RUNTIME_DIR:-/tmp}/kennel-engine-$UID]
  KENNEL_REGISTRY_PORT   [5000]
  KENNEL_REGISTRY_PASSWORD
                         [a new one]; ACCOUNT-auth-token is what the local AWS's ECR gives as a login
  DOCKER_HOST            honoured, as by any Docker client

Example:
  scripts/docker_engine.sh start
  password=$(scripts/docker_engine.sh registry start)
  docker login -u AWS --password-stdin 127.0.0.1:5000 <"$password"
USAGE
}

main() {
  STATE=${KENNEL_STATE_DIR:-${XDG_RUNTIME_DIR:-/tmp}/kennel-engine-$UID}
  PORT=${KENNEL_REGISTRY_PORT:-5000}
  case "$*" in
    start) exclusively start_engine ;;
    stop) exclusively stop_engine ;;
    "registry start") exclusively start_registry ;;
    "registry stop") exclusively stop_registry ;;
    -h | --help) usage ;;
    *) fail "docker_engine.sh does not know '$*'" "Say start, stop, registry start or registry stop" ;;
  esac
}

start_engine() {
  if engine_answers; then
    echo "Docker engine $(engine_version) answers."
    return
  fi
  [[ -z ${DOCKER_HOST:-} ]] || fail "no engine answers at DOCKER_HOST=$DOCKER_HOST" "Start it, or unset DOCKER_HOST"
  install_packages dockerd:docker.io iptables:iptables
  forget_killed /var/run/docker.pid
  forget_killed /var/run/docker/containerd/containerd.pid
  start_in_background dockerd dockerd
  wait_until 60 engine_answers dockerd
  echo "Docker engine $(engine_version) started; log: $STATE/dockerd.log"
}

# An engine that was killed leaves its number behind, and the next one refuses to start while any process has it.
forget_killed() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  if [[ ! -e /proc/$pid/exe ]] || ! readlink "/proc/$pid/exe" | grep -qE '/(dockerd|containerd)'; then
    rm -f "$1"
  fi
}

stop_engine() {
  stop_process dockerd 60
}

start_registry() {
  [[ $PORT =~ ^[0-9]+$ ]] || fail "KENNEL_REGISTRY_PORT=$PORT is no port" "Give a number, 5000 say"
  if ! runs docker-registry; then
    ! registry_answers || fail "something else listens on 127.0.0.1:$PORT" "Set KENNEL_REGISTRY_PORT to a free port"
    install_packages docker-registry:docker-registry htpasswd:apache2-utils
    new_password
    registry_config >"$STATE/registry.yml"
    start_in_background docker-registry docker-registry serve "$STATE/registry.yml"
    wait_until 20 registry_answers docker-registry
  fi
  echo "$STATE/registry.password"
}

stop_registry() {
  stop_process docker-registry 10
  rm -rf "$(registry_data)" "$STATE"/registry.{yml,htpasswd,password}
}

# --- what they are made of --------------------------------------------------------------------------------------

# One at a time: two test runs that start together must not start two engines. The lock's descriptor is closed for
# what is started in the background (9>&-), or it would be held for as long as the engine lives.
exclusively() {
  install -d -m 0700 "$STATE" 2>/dev/null || true
  [[ -O $STATE && -w $STATE ]] || fail "$STATE belongs to somebody else" "Set KENNEL_STATE_DIR to a folder of yours"
  exec 9>"$STATE/lock"
  flock -w 300 9 || fail "another docker_engine.sh holds $STATE/lock" "Wait for it, or end it"
  "$@"
}

engine_answers() {
  engine_version >/dev/null 2>&1
}

engine_version() {
  docker version --format '{{.Server.Version}}'
}

registry_answers() {
  # Any HTTP answer will do; without a login the right one is 401.
  (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null
}

registry_data() {
  # Not in STATE: a runtime folder is often kept in memory, and images are large.
  echo "${TMPDIR:-/var/tmp}/kennel-registry-$UID-$PORT"
}

registry_config() {
  cat <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $(registry_data)}
  delete: {enabled: true}
http: {addr: "127.0.0.1:$PORT"}
auth:
  htpasswd: {realm: kennel, path: $STATE/registry.htpasswd}
YAML
}

new_password() {
  (
    umask 077
    if [[ -n ${KENNEL_REGISTRY_PASSWORD:-} ]]; then
      printf '%s' "$KENNEL_REGISTRY_PASSWORD" >"$STATE/registry.password"
    else
      head -c 32 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' >"$STATE/registry.password"
    fi
    # -i reads from standard input, so the password shows in no process list. -B is bcrypt, all that a registry takes.
    htpasswd -niB AWS <"$STATE/registry.password" >"$STATE/registry.htpasswd" 2>/dev/null
  )
}

# program:package …; installs the packages whose program is missing.
install_packages() {
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail "no Docker engine answers" "Install and start one, then try again"
  [[ $EUID == 0 ]] || fail "${missing[*]} is not installed" "Run this as root, or: sudo apt-get install ${missing[*]}"
  {
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
  } >"$STATE/apt.log" 2>&1 9>&- || fail "apt-get could not install ${missing[*]}" "See $STATE/apt.log"
}

# name command…; a session of its own, so it outlives this script and the terminal.
start_in_background() {
  local name=$1
  shift
  [[ $EUID == 0 || $name != dockerd ]] || fail "starting dockerd takes root" "Run this as root, or start Docker"
  PATH=$PATH:/usr/sbin:/sbin setsid nohup "$@" >"$STATE/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$STATE/$name.pid"
}

# seconds condition name
wait_until() {
  local deadline=$((SECONDS + $1))
  until "$2"; do
    ! ended "$3" || fail "$3 ended at once: $(tail -n 1 "$STATE/$3.log" | cut -c 1-200)" "See $STATE/$3.log"
    ((SECONDS < deadline)) || fail "$3 does not answer after $1 s" "See $STATE/$3.log"
    sleep 0.2
  done
}

# Whether the process that we have just started is over. It goes by other names until it is that program.
ended() {
  local state
  state=$(sed -n 's/^State:\s*//p' "/proc/$(cat "$STATE/$1.pid")/status" 2>/dev/null)
  [[ -z $state || $state == Z* ]]
}

# Whether the process that we started still is that program, and not another that was given its number.
runs() {
  local pid
  pid=$(cat "$STATE/$1.pid" 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "${1:0:15}" ]]
}

# name seconds
stop_process() {
  if ! runs "$1"; then
    echo "$1 was not started from here; nothing to stop."
    return
  fi
  local pid deadline=$((SECONDS + $2))
  pid=$(cat "$STATE/$1.pid")
  kill "$pid"
  while runs "$1"; do
    ((SECONDS < deadline)) || fail "$1 ($pid) does not end" "See $STATE/$1.log; kill -9 $pid ends it for certain"
    sleep 0.2
  done
  rm -f "$STATE/$1.pid"
  echo "$1 stopped."
}

fail() {
  echo "$1. $2." >&2
  exit 2
}

main "$@"
