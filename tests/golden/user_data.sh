#!/usr/bin/env bash
# An instance's user data: train, tell how it went, and end, whatever happens. EC2 terminates what switches itself off.
# kennel.cloud.instance_requests puts plan and train.sh in. No secret is among it: the instance's role is its key.
set -euo pipefail

RUN=kennel-ec2-1a2b3c4d
OUT=s3://kennel-us-east-1-123456789012/kennel/ec2/kennel-ec2-1a2b3c4d
REGION=us-east-1
MINUTES=70
ARGUMENTS=(--run kennel-ec2-1a2b3c4d --image 123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-training@sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a --data s3://kennel-us-east-1-123456789012/kennel/data/5e6f7a8b --out s3://kennel-us-east-1-123456789012/kennel/ec2/kennel-ec2-1a2b3c4d --weights s3://kennel-us-east-1-123456789012/kennel/weights/0a1b2c3d/ --max-seconds 3600 --set epochs=20 --set learning_rate=0.003 --profile)

main() {
  WORK=${KENNEL_WORK:-/var/lib/kennel} CHILD='' WATCH=''
  DIR=$WORK/$RUN
  trap 'finish $?' EXIT
  trap 'stop "the machine was asked to end. The next launch goes on where it was"' TERM INT
  shutdown -P "+$MINUTES" || say "no time limit could be set" # however this hangs, it does not hang longer
  end_after_reboot
  export KENNEL_WORK=$WORK AWS_DEFAULT_REGION=$REGION AWS_REGION=$REGION HOME=${HOME:-/root}
  # Its keys come from the metadata service, which is asked by each command: a moment's silence ends no training.
  export AWS_METADATA_SERVICE_TIMEOUT=5 AWS_METADATA_SERVICE_NUM_ATTEMPTS=5 AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=5
  mkdir -p "$DIR"
  train_script >"$WORK/train.sh"
  bash "$WORK/train.sh" "${ARGUMENTS[@]}" 2> >(tee "$WORK/said.txt" >&2) &
  CHILD=$!
  watch_spot &
  WATCH=$!
  until_over
}

# cloud-init runs user data at the first boot only, and a time limit does not outlive a boot: a machine that is rebooted
# would idle for ever. Not where KENNEL_WORK is set: there it is no machine of its own.
end_after_reboot() {
  local boots=${KENNEL_BOOTS:-/var/lib/cloud/scripts/per-boot}
  [[ -z ${KENNEL_WORK:-} || -n ${KENNEL_BOOTS:-} ]] || return 0
  {
    mkdir -p "$boots"
    printf '#!/bin/sh\necho "kennel: rebooted; the next launch goes on where it was"\nshutdown -P now || poweroff -f\n' >"$boots/kennel"
    chmod 755 "$boots/kennel"
  } || say "after a reboot it would not end"
}

# A signal ends a wait, not the training's own end, which is waited for all the same.
until_over() {
  local code=0
  while kill -0 "$CHILD" 2>/dev/null; do
    code=0
    wait "$CHILD" || code=$?
  done
  return "$code"
}

# EC2 tells it two minutes before, and recommends to look every five seconds.
watch_spot() {
  local at=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254} token
  trap - EXIT TERM INT
  at=${at%/}/latest
  while sleep 5; do
    token=$(ask -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$at/api/token") || continue
    ask -H "X-aws-ec2-metadata-token: $token" "$at/meta-data/spot/instance-action" >/dev/null || continue
    stop "spot interruption: EC2 takes the machine back. The next launch goes on where it was"
    return
  done
}

stop() {
  echo "$1" >"$DIR/stop" || true # on a full disk it ends without a word
  [[ -z $CHILD ]] || kill -TERM "$CHILD" 2>/dev/null || true
}

finish() {
  trap '' TERM INT
  set +e
  [[ -z $WATCH ]] || kill "$WATCH"
  rm -f "$DIR/reserve" # of a train.sh that was killed on a full disk
  if [[ ! -s $DIR/status.json ]]; then
    mkdir -p "$DIR"
    boot_failed "$1" >"$DIR/status.json"
  elif grep -q '^  "state": "InProgress"' "$DIR/status.json"; then
    sed -i -e 's/^  "state": "InProgress"/  "state": "Failed"/' -e "s/^  \"ended\": \"\"/  \"ended\": \"$(now)\"/" \
      -e "s/^  \"reason\": \"\"/  \"reason\": \"the training's script was killed (exit code $1). See log.txt\"/" "$DIR/status.json"
  fi
  [[ ! -s $DIR/log.txt ]] || aws s3 cp "$DIR/log.txt" "$OUT/log.txt" --only-show-errors
  aws s3 cp "$DIR/status.json" "$OUT/status.json" --only-show-errors
  say "$(sed -n 's/^  "\(state\|reason\)": "\(.*\)",$/\2/p' "$DIR/status.json" | paste -s -d : -)"
  shutdown -P now || poweroff -f
}

# train.sh has told nothing: it could not begin, or was asked to stop before it did, after which the next one goes on.
boot_failed() {
  local reason at state=Failed
  reason=$(tail -n 1 "$WORK/said.txt" 2>/dev/null | tr -d "\"\\\\\n" | tr -c '\040-\176' ' ' | head -c 500)
  reason="the machine could not begin (exit code $1): ${reason:-see its console}"
  [[ ! -s $DIR/stop ]] || { state=Stopped && reason=$(head -n 1 "$DIR/stop"); }
  at=$(now)
  cat <<STATUS
{
  "version": 1,
  "run": "$RUN",
  "state": "$state",
  "phase": "boot",
  "reason": "$reason",
  "attempt": 1,
  "phases": [],
  "image": "",
  "data": "",
  "weights": "",
  "hyperparameters": {},
  "machine": {},
  "begun": "$at",
  "ended": "$at"
}
STATUS
}

train_script() {
  base64 --decode <<'TRAIN' | gzip --decompress
# ec2/train.sh, packed
TRAIN
}

ask() { curl --fail --silent --noproxy '*' --connect-timeout 2 --max-time 4 "$@"; }

say() { echo "kennel: $*"; }

now() { date -u +%Y-%m-%dT%H:%M:%S.%3NZ; }

# When a machine is switched off from outside, systemd leaves what cloud-init has begun alone (KillMode=process) until
# Docker and the network are gone. A unit of its own is asked first, and waited for. Where none can be had, it goes on.
own_unit() {
  [[ -z ${KENNEL_UNIT:-} ]] || : >/run/kennel
  [[ -d /run/systemd/system && -z ${KENNEL_WORK:-}${KENNEL_UNIT:-} ]] || return 0
  systemd-run --quiet --wait --pipe --unit kennel --setenv KENNEL_UNIT=yes -p KillMode=mixed -p TimeoutStopSec=180 \
    -p Wants=docker.service -p After='docker.service network-online.target' bash "$0" || true
  [[ ! -e /run/kennel ]] || exit 0
}

own_unit
main
