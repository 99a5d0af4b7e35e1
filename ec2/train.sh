#!/usr/bin/env bash
# A training by hand: this machine's Docker runs the training image; what comes of it goes where OUT says.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: train.sh --image IMAGE --data DATA --out OUT [options]

  --image IMAGE      the training image: HOST/kennel-training@sha256:…, a name on this engine, or its id sha256:…
  --data DATA        s3://bucket/prefix or a folder, with train/, valid/ and test/; or the https address of a zip
  --out OUT          s3://bucket/prefix or a folder: status.json, log.txt, model.tar.gz, output/, checkpoints/
  --weights WEIGHTS  a .safetensors or .pth file, s3://… too; s3://…/ for the one below it [the image finds some]
  --set NAME=VALUE   a hyperparameter; repeat for more
  --run NAME         what the run is called [the last part of OUT]
  --no-gpu           this machine has none
  --profile          record how busy the machine is, and what its steps wait for: OUT/output/profiler
  --max-seconds N    then it is stopped
  --login            log in to the image's registry as to ECR [done where its name says ECR]
  --disk-gb N        free space there has to be [10]

Needs bash, curl, Docker, and the AWS command line for s3:// and ECR. Works in $KENNEL_WORK/NAME [/var/lib/kennel/NAME].
Exit 0: done. 1: failed, the last line says why. 143: stopped; the same command goes on where it was.

Examples:
  train.sh --image 123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-training@sha256:0a… \
    --data s3://dogs/kennel/data/5e6f7a8b --out s3://dogs/kennel/ec2/by-hand --set epochs=20
  KENNEL_WORK=work train.sh --no-gpu --image kennel-training --data ~/dogImages --out out
USAGE
}

main() {
  IMAGE='' DATA='' OUT='' WEIGHTS=auto RUN='' GPU=yes PROFILE='' MAX_SECONDS='' LOGIN='' DISK_GB=10 SETTINGS=()
  DIR='' STATE=InProgress PHASE=check START='' PHASES=() ATTEMPT=1 MACHINE='' REACHED='' CHILD='' BESIDE=() CONTAINER=''
  PAIRS=() DATA_DIR='' WEIGHTS_FILE=''
  parse "$@"
  take_folder
  trap stopped TERM INT
  trap 'last $?' EXIT
  BEGUN=$(now)
  about_machine
  begin check
  check
  begin login
  [[ -z $LOGIN ]] || log_in
  begin pull
  pull
  begin data
  fetch_data
  begin train
  train
  begin upload
  upload
  end Completed ''
}

# --- what is asked ----------------------------------------------------------------------------------------------

parse() {
  while (($#)); do
    case "$1" in
      --image | --data | --out | --weights | --run | --max-seconds | --disk-gb)
        [[ -n ${2:-} ]] || refuse "$1 needs a value" "See --help"
        printf -v "$(tr '[:lower:]-' '[:upper:]_' <<<"${1#--}")" %s "$2"
        shift
        ;;
      --set)
        [[ ${2:-} =~ ^([a-z_]{1,64})=([A-Za-z0-9.,+_-]{1,64})$ ]] || refuse "'${2:-}' is no NAME=VALUE" "Write --set epochs=30"
        SETTINGS+=(--set "$2") PAIRS+=("\"${BASH_REMATCH[1]}\": \"${BASH_REMATCH[2]}\"")
        shift
        ;;
      --no-gpu) GPU='' ;;
      --profile) PROFILE=yes ;;
      --login) LOGIN=yes ;;
      -h | --help) usage && exit ;;
      *) refuse "there is no option '$1'" "See --help" ;;
    esac
    shift
  done
  [[ -n $IMAGE && -n $DATA && -n $OUT ]] || refuse "--image, --data and --out are needed" "See --help"
  [[ ${MAX_SECONDS:-0} =~ ^[0-9]{1,9}$ && $DISK_GB =~ ^[0-9]{1,9}$ ]] || refuse "--max-seconds and --disk-gb take whole numbers" "See --help"
  DISK_GB=$((10#$DISK_GB)) MAX_SECONDS=${MAX_SECONDS:+$((10#$MAX_SECONDS))}
  OUT=${OUT%/} DATA=${DATA%/}
  RUN=${RUN:-${OUT##*/}}
  [[ $RUN =~ ^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$ ]] || refuse "'$RUN' cannot be a run's name" "Say --run NAME"
  HOST=${IMAGE%%/*}
  [[ $HOST != *.dkr.ecr.*.amazonaws.com* ]] || LOGIN=yes
}

# One process a folder; a lock whose process is gone is nobody's.
take_folder() {
  local work=${KENNEL_WORK:-/var/lib/kennel} holder
  mkdir -p "$work/$RUN" 2>/dev/null || refuse "$work cannot be written to" "Set KENNEL_WORK to a folder of yours"
  DIR=$(cd "$work/$RUN" && pwd)
  [[ $DIR != *[,\"]* ]] || refuse "Docker takes no folder with a comma or a quote in its name: $DIR" "Set KENNEL_WORK to another"
  if ! mkdir "$DIR/lock" 2>/dev/null; then
    holder=$(cat "$DIR/lock/pid" 2>/dev/null || true)
    ! grep -qa train.sh "/proc/${holder:-none}/cmdline" 2>/dev/null || refuse "$RUN is being trained here already, by process $holder" "Wait for it"
  fi
  echo $$ >"$DIR/lock/pid"
  LOG=$DIR/log.txt SAID=$DIR/said.txt
  rm -f "$DIR/stop" "$DIR/status.json" "$LOG"
  : >"$SAID"
  if [[ "$DATA $WEIGHTS" != "$(cat "$DIR/of" 2>/dev/null)" ]]; then # other pictures' would be mixed with these
    rm -rf "$DIR/data" "$DIR/data.zip.part" "$DIR/weights"
    echo "$DATA $WEIGHTS" >"$DIR/of"
  fi
  head -c 262144 /dev/zero >"$DIR/reserve" # on a full disk, room for the status
  mkdir -p "$DIR/out/checkpoints"
}

# --- phases -----------------------------------------------------------------------------------------------------

check() {
  local folder gb
  command -v docker >/dev/null || fail "Docker is not installed" "Install it, or take a machine image that has it"
  docker version --format '{{.Server.Version}}' >"$SAID" 2>&1 ||
    problem "no Docker engine answers" "Start it, or join the group docker"
  if [[ "$DATA $OUT $WEIGHTS" == *s3://* || -n $LOGIN ]]; then
    command -v aws >/dev/null || fail "the AWS command line is not installed" "Install it: the package awscli"
  fi
  earlier
  [[ -z $GPU ]] || nvidia-smi --query-gpu=name --format=csv,noheader >"$SAID" 2>&1 ||
    problem "no GPU answers nvidia-smi" "Take a machine with one and its driver, or say --no-gpu"
  for folder in "$DIR" "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null)"; do
    [[ -d $folder ]] || continue
    gb=$(($(df -k --output=avail "$folder" | tail -n 1) >> 20))
    ((gb >= DISK_GB)) || fail "$folder has $gb GB left, $DISK_GB are needed" "Take a larger disk, or say --disk-gb"
  done
  docker ps --all --quiet --filter "name=^${RUN//./\\.}$" --filter "label=kennel.run=$DIR" | xargs -r docker rm --force >/dev/null
  [[ -z $(docker ps --all --quiet --filter "name=^${RUN//./\\.}$") ]] ||
    fail "a container $RUN is there, which is not this one's" "Wait for its end, or say another --run NAME"
  [[ -z $MAX_SECONDS ]] || beside limit
}

# What an earlier attempt left in OUT: its phases, its log. From here on OUT is known to be there.
earlier() {
  local old=$DIR/earlier.json state found code=0
  rm -f "$old"
  if [[ $OUT == s3://* ]]; then
    aws s3 ls "$OUT/status.json" >/dev/null 2>"$SAID" || code=$?
    case $code in # by what it returns: it says more than errors, that its Python is old, say
      0) aws s3 cp "$OUT/status.json" "$old" --only-show-errors 2>"$SAID" || code=2 ;;
      1) code=0 ;; # there is none
    esac
  else
    { mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd); } 2>"$SAID" || code=2
    [[ $OUT != "$DIR" ]] || fail "OUT is the folder that is worked in, $DIR" "Name another, or set KENNEL_WORK"
    [[ ! -e $OUT/status.json ]] || cp "$OUT/status.json" "$old" 2>"$SAID" || code=2
  fi
  ((code == 0)) || problem "$OUT cannot be seen" "See that it is there, and may be listed and read"
  REACHED=yes
  if [[ ! -s $old ]]; then
    rm -rf "$DIR/out/model" "$DIR/out/model.tar.gz" "$DIR/out/output" # of another OUT
    return
  fi
  state=$(sed -n 's/^  "state": "\([A-Za-z]*\)",$/\1/p' "$old")
  if [[ $state == Completed ]]; then
    STATE=$state
    say "done already: $OUT; another --run trains again"
    exit 0
  fi
  ATTEMPT=$(($(sed -n 's/^  "attempt": \([0-9]*\),$/\1/p' "$old") + 1))
  found=$(sed -n 's/^  "begun": "\([0-9TZ:.-]*\)",$/\1/p' "$old")
  BEGUN=${found:-$BEGUN}
  mapfile -t PHASES < <(sed -nE 's/^    (\{"name": "[a-z]+", "attempt": [0-9]+, "begun": "[^"]+", "seconds": [0-9.]+\}),?$/\1/p' "$old")
  fetch log.txt "$DIR/log.old" && cat "$LOG" >>"$DIR/log.old" && mv "$DIR/log.old" "$LOG" || true
}

log_in() {
  local token region
  region=$(sed -n 's/^[0-9]*\.dkr\.ecr\.\([a-z0-9-]*\)\..*$/\1/p' <<<"$HOST")
  export DOCKER_CONFIG=$DIR/docker # a login of ours, which goes when we go
  {
    token=$(aws ecr get-login-password ${region:+--region "$region"}) &&
      docker login --username AWS --password-stdin "$HOST" <<<"$token"
  } >"$SAID" 2>&1 || problem "no login to $HOST" "Allow ecr:GetAuthorizationToken, and see that the registry can be reached"
}

# Nothing is pulled by a bare name: on Docker Hub it may be anybody's.
pull() {
  local pause
  ! docker image inspect "$IMAGE" >/dev/null 2>&1 || { say "the image is here already" && return; }
  [[ $HOST != "$IMAGE" && $HOST == *[.:]* ]] || fail "there is no image $IMAGE on this engine" "Build it, or name its registry"
  for pause in 5 15 ''; do
    ! slowly docker pull --quiet "$IMAGE" || return 0
    ! grep -qaiE 'not found|unknown|denied|unauthorized|no basic auth|no space left' "$SAID" || break
    [[ -z $pause ]] || slowly sleep "$pause"
  done
  problem "$IMAGE cannot be pulled" "See that it is in the registry, and may be pulled: ecr:BatchGetImage"
}

fetch_data() {
  local split
  case $DATA in
    s3://*)
      DATA_DIR=$DIR/data
      slowly aws s3 sync "$DATA/" "$DATA_DIR/" --only-show-errors --delete --exclude '*' \
        --include 'train/*' --include 'valid/*' --include 'test/*' ||
        problem "$DATA cannot be fetched" "See that it is there, and may be read: s3:ListBucket, s3:GetObject"
      ;;
    https://*) fetch_zip ;;
    *) DATA_DIR=$(cd "$DATA" 2>/dev/null && pwd) || fail "there is no folder $DATA" "Name a data set" ;;
  esac
  case $DATA_DIR in
    *[,\"]*) fail "Docker takes no folder with a comma or a quote in its name: $DATA_DIR" "Rename it" ;;
  esac
  for split in train valid test; do
    [[ -d $DATA_DIR/$split ]] || fail "there are no pictures in $DATA/$split/" "Name a data set: train/, valid/ and test/"
  done
  fetch_weights
  ((ATTEMPT == 1)) || fetch_checkpoints || problem "the checkpoints cannot be fetched" "See that they may be read: s3:GetObject"
}

# Unpacked by the image's own means, which refuse what leads out of the folder and bound what comes of it.
fetch_zip() {
  local part=$DIR/data.zip.part
  if [[ ! -d $DIR/data ]]; then
    slowly curl --fail --location --proto '=https' --silent --show-error --retry 5 --retry-delay 2 \
      --max-filesize 21474836480 --continue-at - --output "$part" "$DATA" ||
      problem "$DATA cannot be fetched" "See that the address is right"
    mv "$part" "$DIR/data.zip"
    in_image "$DIR" /work '' kennel data fetch /work/data --from /work/data.zip ||
      problem "$DATA cannot be unpacked" "Give a zip of train/, valid/ and test/"
    rm -f "$DIR/data.zip"
  fi
  DATA_DIR=$DIR/data
}

fetch_weights() {
  case $WEIGHTS in
    auto | torchvision | npm | random) return ;;
    s3://*/) slowly aws s3 sync "$WEIGHTS" "$DIR/weights/" --only-show-errors ;;
    s3://*) slowly aws s3 cp "$WEIGHTS" "$DIR/weights/" --only-show-errors ;;
    *) mkdir -p "$DIR/weights" && cp "$WEIGHTS" "$DIR/weights/" 2>"$SAID" ;;
  esac || problem "the weights $WEIGHTS cannot be had" "See that they are there, and may be read"
  WEIGHTS_FILE=$(find "$DIR/weights" -name '*.safetensors' -o -name '*.pth' | sort | head -n 1)
  [[ -n $WEIGHTS_FILE ]] || fail "there are no weights at $WEIGHTS" "Name a .safetensors or .pth file"
}

train() {
  local code=0 weights=$WEIGHTS command
  [[ -z $WEIGHTS_FILE ]] || weights=/weights/${WEIGHTS_FILE##*/}
  command=(kennel train --data /data --out /out --weights "$weights" "${SETTINGS[@]}")
  [[ -z $PROFILE ]] || command+=(--profile)
  beside keep_checkpoints
  in_image "$DIR/out" /out "$GPU" "${command[@]}" || code=$?
  # By another: Docker ends its containers, and itself, when the machine goes down.
  if ((code == 143)) || { ((code == 125)) && ! docker version >/dev/null 2>&1; }; then stopped; fi
  ((code != 137)) || fail "the training was killed: out of memory, most likely" "Take a machine with more of it"
  ((code == 0)) || ! grep -qa '^ *Usage: kennel' "$SAID" ||
    fail "the image's kennel does not take this: $(told)" "Take an image of the same version: make images"
  ((code == 0)) || problem "the training failed" ''
}

upload() {
  in_image "$DIR/out" /out '' kennel artifact pack /out /out/model.tar.gz || problem "the artifact cannot be packed" ''
  { send "$DIR/out/model.tar.gz" model.tar.gz && send_folder "$DIR/out/output" output; } ||
    problem "the artifact cannot be sent to $OUT" "See that it may be written to: s3:PutObject"
}

# in_image FOLDER AS GPU COMMAND…: no network where the weights are at hand, no more rights than a program needs.
in_image() {
  local docker=(docker run --rm --name "$RUN" --label "kennel.run=$DIR" --pull never --shm-size 1g
    --cap-drop ALL --security-opt no-new-privileges --mount "type=bind,src=$1,dst=$2" --env KENNEL_CACHE=/out/checkpoints/cache)
  [[ -z $DATA_DIR ]] || docker+=(--mount "type=bind,src=$DATA_DIR,dst=/data,readonly")
  [[ -z $WEIGHTS_FILE ]] || docker+=(--network none --mount "type=bind,src=$DIR/weights,dst=/weights,readonly")
  [[ -z $3 ]] || docker+=(--gpus all)
  ((UID == 0)) || docker+=(--user "$UID:$(id -g)" --env HOME=/tmp)
  shift 3
  CONTAINER=$RUN
  slowly "${docker[@]}" "$IMAGE" "$@" || return
  CONTAINER=''
}

# --- its end ----------------------------------------------------------------------------------------------------

# By the seconds since boot: a clock may be set.
limit() {
  local over=$(($(up) + MAX_SECONDS - SECONDS))
  while (($(up) < over)); do
    kill -0 $$ || return
    sleep 1
  done
  echo "time limit: $MAX_SECONDS s are over. The same command goes on where it was" >"$DIR/stop"
  kill -TERM $$
}

up() { cut -d . -f 1 /proc/uptime; }

stopped() {
  trap '' TERM INT
  local reason="asked to stop. The same command goes on where it was"
  [[ ! -s $DIR/stop ]] || reason=$(head -n 1 "$DIR/stop")
  say "stopping: $reason"
  alone
  if [[ -n $CONTAINER ]] && docker stop --time 110 "$CONTAINER" >/dev/null 2>&1; then
    wait "$CHILD" || true
  fi
  [[ -z $REACHED ]] || save_checkpoints || reason+="; but its checkpoints could not be sent: $(told)"
  end Stopped "$reason"
  exit 143
}

# problem MESSAGE REMEDY: with what the last program said.
problem() {
  if (($(df -k --output=avail "$DIR" | tail -n 1) < 256)) || grep -qaiE 'no space left|errno 28' "$SAID"; then
    fail "$1: the disk is full" "Take a larger one, or free some space"
  fi
  fail "$1: $(told)" "$2"
}

# fail MESSAGE REMEDY
fail() {
  end Failed "$1${2:+. $2}"
  exit 1
}

refuse() {
  echo "error $1. $2" >&2
  exit 2
}

end() {
  close_phase
  alone
  rm -f "$DIR/reserve"
  STATE=$1
  say "$STATE${2:+: $2}"
  write_status "$2" "$(now)"
  [[ -z $REACHED ]] || { send "$LOG" log.txt && send "$DIR/status.json" status.json; } ||
    say "the status could not be sent to $OUT: $(told)"
}

# However it ends, nothing runs on.
last() {
  trap '' TERM INT
  [[ $STATE != InProgress ]] || end Failed "train.sh itself ended in $PHASE (exit code $1): $(told)"
  [[ -z $CHILD ]] || ended "$CHILD"
  alone
  [[ -z $CONTAINER ]] || docker rm --force "$CONTAINER" >/dev/null 2>&1 || true
  rm -rf "$DIR/docker" "$DIR/lock"
}

# --- status -----------------------------------------------------------------------------------------------------

begin() {
  close_phase
  PHASE=$1 START=$(date +%s%3N) SINCE=$(now)
  say "$PHASE"
  write_status '' ''
  [[ -z $REACHED ]] || send "$DIR/status.json" status.json ||
    problem "$OUT cannot be written to" "See that it is there, and may be written to: s3:PutObject"
}

close_phase() {
  [[ -n $START ]] || return 0
  local took=$(($(date +%s%3N) - START))
  ((took >= 0)) || took=0 # the clock was set back meanwhile
  PHASES+=("$(printf '{"name": "%s", "attempt": %d, "begun": "%s", "seconds": %d.%03d}' \
    "$PHASE" "$ATTEMPT" "$SINCE" $((took / 1000)) $((took % 1000)))")
  START=''
}

# write_status REASON ENDED: a phase a line, by which a later attempt finds them.
write_status() {
  {
    printf '{\n  "version": 1,\n  "run": %s,\n  "state": "%s",\n  "phase": "%s",\n' "$(json "$RUN")" "$STATE" "$PHASE"
    printf '  "reason": %s,\n  "attempt": %d,\n  "phases": [\n' "$(json "$1")" "$ATTEMPT"
    lines "${PHASES[@]}"
    printf '  ],\n  "image": %s,\n  "data": %s,\n' "$(json "$IMAGE")" "$(json "$DATA")"
    printf '  "weights": %s,\n  "hyperparameters": {\n' "$(json "$WEIGHTS")"
    lines "${PAIRS[@]}"
    printf '  },\n  "machine": {%s},\n  "begun": "%s",\n  "ended": "%s"\n}\n' "$MACHINE" "$BEGUN" "$2"
  } >"$DIR/.status.json"
  mv "$DIR/.status.json" "$DIR/status.json"
}

lines() {
  while (($#)); do
    printf '    %s' "$1"
    shift
    (($# == 0)) || printf ,
    echo
  done
}

# A text as JSON, whatever is in it: no control characters, no bytes that are not UTF-8.
json() {
  local clean=(tr -cd '\040-\176')
  ! command -v iconv >/dev/null || clean=(iconv -c -f UTF-8 -t UTF-8)
  printf '"%s"' "$(printf %s "$1" | tr -s '\000-\037\177' ' ' | head -c 1000 | { "${clean[@]}" 2>/dev/null || true; } |
    LC_ALL=C sed $'s/\xc2[\x80-\x9f]//g; s/[\\\\"]/\\\\&/g')"
}

# Of the instance's metadata service (version 2); all is empty where there is none.
about_machine() {
  local document spot=false gpus
  METADATA=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
  METADATA=${METADATA%/}/latest
  TOKEN=$(ask -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$METADATA/api/token")
  document=$(metadata dynamic/instance-identity/document)
  [[ $(metadata meta-data/instance-life-cycle) != spot ]] || spot=true
  gpus=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | paste -sd , - || true)
  MACHINE=$(printf '"instance_id": %s, "instance_type": %s, "region": %s, "zone": %s, "spot": %s, ' \
    "$(json "$(metadata meta-data/instance-id)")" "$(json "$(metadata meta-data/instance-type)")" \
    "$(json "$(metadata meta-data/placement/region)")" "$(json "$(metadata meta-data/placement/availability-zone)")" $spot)
  MACHINE+=$(printf '"gpus": %s, "cores": %d, "launched": "%s"' "$(json "${gpus:0:200}")" "$(nproc)" \
    "$(sed -n 's/.*"pendingTime" *: *"\([0-9TZ:.-]*\)".*/\1/p' <<<"$document")")
}

metadata() { [[ -z $TOKEN ]] || ask -H "X-aws-ec2-metadata-token: $TOKEN" "$METADATA/$1"; }

ask() { curl --fail --silent --noproxy '*' --connect-timeout 1 --max-time 3 --max-filesize 65536 "$@" 2>/dev/null || true; }

# --- to and from OUT --------------------------------------------------------------------------------------------

# What a container has left is sent, and nothing that it points at: this machine's files are none of its.
send() {
  [[ ! -L $1 ]] || { echo "$1 is a link" >"$SAID" && return 1; }
  if [[ $OUT == s3://* ]]; then aws s3 cp "$1" "$OUT/$2" --only-show-errors; else cp "$1" "$OUT/$2"; fi >"$SAID" 2>&1
}

send_folder() {
  [[ ! -L $1 ]] || { echo "$1 is a link" >"$SAID" && return 1; }
  if [[ $OUT == s3://* ]]; then
    aws s3 sync "$1/" "$OUT/$2/" --only-show-errors --no-follow-symlinks --exclude '.*' --exclude '*/.*'
  else
    mkdir -p "$OUT/$2" && cp -R --no-dereference "$1/." "$OUT/$2/" && find "$OUT/$2" -type l -delete
  fi >"$SAID" 2>&1
}

fetch() {
  if [[ $OUT == s3://* ]]; then aws s3 cp "$OUT/$1" "$2" --only-show-errors; else cp "$OUT/$1" "$2"; fi >"$SAID" 2>&1
}

save_checkpoints() { send_folder "$DIR/out/checkpoints" checkpoints; }

fetch_checkpoints() {
  [[ ! -L $DIR/out/checkpoints ]] || rm "$DIR/out/checkpoints"
  mkdir -p "$DIR/out/checkpoints"
  if [[ $OUT == s3://* ]]; then
    slowly aws s3 sync "$OUT/checkpoints/" "$DIR/out/checkpoints/" --only-show-errors
  elif [[ -d $OUT/checkpoints ]]; then
    slowly cp -R "$OUT/checkpoints/." "$DIR/out/checkpoints/"
  fi
}

# A machine that is taken away without a word loses a minute, no more.
keep_checkpoints() {
  SAID=$DIR/kept.txt
  while sleep "${KENNEL_SYNC_SECONDS:-60}" && kill -0 $$; do
    save_checkpoints || true
    send "$LOG" log.txt || true
  done
}

# --- programs ---------------------------------------------------------------------------------------------------

# What takes long: a signal is answered at once, and ends all of it. Its output is the log's.
slowly() {
  local code=0
  apart noted "$@"
  CHILD=$!
  wait "$CHILD" || code=$?
  CHILD=''
  return "$code"
}

noted() { "$@" 2>&1 | tee -a "$LOG" | tee "$SAID" >&2; }

beside() {
  apart "$@"
  BESIDE+=("$!")
}

# In a process group of its own.
apart() {
  set -m
  "$@" </dev/null &
  set +m
}

ended() { kill -TERM -- "-$1" 2>/dev/null || true; }

# What goes on beside is over first: it would send an older state after the last.
alone() {
  local each
  for each in "${BESIDE[@]}"; do ended "$each"; done # not waited for: inside of a trap, bash may wait for ever
  BESIDE=()
}

# What the last program said: kennel's own error with its remedy, else the last line.
told() {
  local found
  found=$(grep -a -A 1 '^error ' "$SAID" | tail -n 2 | sed 's/^error *//; s/^  */. /' | tr -d '\n' || true)
  found=${found:-$(grep -a '^docker: ' "$SAID" | tail -n 1 || true)}
  # A usage error stands in a box.
  printf %s "${found:-$(grep -a '[[:alnum:]]' "$SAID" | tail -n 1 | sed 's/^│ *//; s/ *│$//' || true)}"
}

say() { echo "$(now) kennel: $*" | tee -a "$LOG" >&2 || true; }

now() { date -u +%Y-%m-%dT%H:%M:%S.%3NZ; }

main "$@"
