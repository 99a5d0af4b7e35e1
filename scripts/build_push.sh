#!/usr/bin/env bash
# Build the images and push them where SageMaker can pull them. Prints each image's name on stdout, all else on stderr.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: scripts/build_push.sh training|serving|all [options]
       scripts/build_push.sh function                (for docker-compose.yml alone; it is not pushed)

  --cpu                    the serving image without torch and CUDA, for ml.m5.large and the like
                           (the training image is the same either way)
  --push                   push, and print repository@sha256:…; without it the local name is printed
  --registry HOST/PREFIX   push to any registry that you are logged in to [your account's ECR]
  --region REGION          of ECR [AWS_REGION, AWS_DEFAULT_REGION, the profile's]
  --account ACCOUNT        of ECR [the caller's]
  --platform linux/amd64   the only one that SageMaker runs, also when built on an arm64 Mac

Images are called kennel-training and kennel-serving, and tagged by commit; -dirty-<hash> is added for a tree with
changes, -cpu for --cpu. In ECR the repository is created if it is missing: immutable tags, scan on push, and the
lifecycle policy scripts/ecr_lifecycle.json. A tag that is in ECR already is neither built nor pushed again.

Environment, for builds without a way out (see also scripts/base_image.sh):
  KENNEL_BASE_IMAGE        in place of NVIDIA's or Debian's base
  KENNEL_WHEELS_IMAGE      an image whose root folder holds wheels that are on no package index
  KENNEL_CA_BUNDLE         certificates for pip during the build; stay out of the image
  KENNEL_PIP_CONFIG        a pip.conf for the build; stays out of the image
  KENNEL_DOCKER            the Docker client [the first on PATH that can use BuildKit]

Examples:
  scripts/build_push.sh all --push --region us-east-1
  scripts/build_push.sh serving --cpu
  scripts/build_push.sh training --push --registry ghcr.io/somebody
USAGE
}

main() {
  CPU='' PUSH='' REGISTRY='' REGION='' ACCOUNT='' PLATFORM=linux/amd64 IMAGES=()
  parse "$@"
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  LOG=$(mktemp)
  trap 'rm -f "$LOG"' EXIT
  find_docker
  find_revision
  [[ -z $PUSH || -n $REGISTRY ]] || find_ecr
  local image
  for image in "${IMAGES[@]}"; do
    one_image "$image"
  done
}

one_image() {
  local name="kennel-$1" tag=$TAG reference
  [[ -z $CPU || $1 != serving ]] || tag+=-cpu
  reference=${REGISTRY:+$REGISTRY/}$name:$tag
  if [[ -n ${ECR:-} ]]; then
    ensure_repository "$name"
    if already_there "$name" "$tag"; then
      return
    fi
  fi
  build "$1" "$reference"
  if [[ -z $PUSH ]]; then
    echo "$reference"
  else
    [[ -z ${ECR:-} ]] || login
    push "$reference"
  fi
}

# --- what is asked ----------------------------------------------------------------------------------------------

parse() {
  while (($#)); do
    case "$1" in
      training | serving | function) IMAGES+=("$1") ;;
      all) IMAGES+=(training serving) ;;
      --cpu) CPU=yes ;;
      --push) PUSH=yes ;;
      --registry | --region | --account | --platform)
        [[ -n ${2:-} ]] || fail "$1 needs a value" "See scripts/build_push.sh --help"
        printf -v "$(tr -d - <<<"$1" | tr '[:lower:]' '[:upper:]')" %s "${2%/}"
        shift
        ;;
      -h | --help) usage && exit ;;
      -*) fail "build_push.sh has no option $1" "See scripts/build_push.sh --help" ;;
      *) fail "there is no image named '$1'" "Say training, serving or all" ;;
    esac
    shift
  done
  [[ -z $PUSH || ! ${IMAGES[*]} =~ function ]] ||
    fail "Lambda takes the function as a zip, not this image" "Deploy it: kennel function deploy"
  ((${#IMAGES[@]})) || fail "no image is named" "Say training, serving or all"
  [[ $PLATFORM == linux/amd64 ]] || fail "SageMaker does not run $PLATFORM" "Leave --platform at linux/amd64"
  [[ -z $ACCOUNT || $ACCOUNT =~ ^[0-9]{12}$ ]] || fail "'$ACCOUNT' is no AWS account" "Give its 12 digits"
}

# --- what is there ----------------------------------------------------------------------------------------------

# Clients before 23 have BuildKit built in; later ones need the buildx plugin, and without it cannot build this.
find_docker() {
  local client major
  BUILDX=''
  while read -r client; do
    if "$client" buildx version >/dev/null 2>&1; then
      BUILDX=yes
      break
    fi
    major=$("$client" version --format '{{.Client.Version}}' 2>/dev/null | cut -d. -f1 || true)
    [[ $major =~ ^[0-9]+$ ]] && ((major < 23)) && break
  done < <(if [[ -n ${KENNEL_DOCKER:-} ]]; then echo "$KENNEL_DOCKER"; else type -ap docker; fi) || client=''
  [[ -n $client ]] || fail "no Docker client here can use BuildKit" "Install the plugin docker-buildx, or Debian's docker.io"
  DOCKER=$client
  "$DOCKER" version --format '{{.Server.Version}}' >/dev/null 2>"$LOG" && return
  ! grep -qi 'permission denied' "$LOG" || fail "you may not use the Docker engine" "Join the group docker, or use sudo"
  fail "no Docker engine answers" "Start Docker; on a bare Debian: scripts/docker_engine.sh start"
}

find_revision() {
  git rev-parse --git-dir >/dev/null 2>&1 || fail "this is no git checkout" "Clone it: images are tagged by commit"
  local base=none head
  if head=$(git rev-parse --verify --quiet HEAD); then
    base=${head:0:12}
  else
    head=$(git hash-object -t tree /dev/null) # before the first commit everything is a change to nothing
  fi
  TAG=$base
  if [[ -n $(git status --porcelain) ]]; then
    TAG+=-dirty-$(changes "$head" | git hash-object --stdin | cut -c 1-8)
  fi
  VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/kennel/__init__.py)
  # Addresses only, and without a user or a token in them: a label is public, and a path tells of this machine.
  SOURCE=$(git config --get remote.origin.url | grep -E '^https?://' | sed -E 's#//[^/@]*@#//#' || true)
}

changes() {
  git diff --binary "$1"
  git ls-files --others --exclude-standard -z | sort -z | xargs -0 --no-run-if-empty sha256sum
}

find_ecr() {
  ECR=yes
  command -v aws >/dev/null || fail "the AWS command line is not installed" "Install it, or push with --registry"
  REGION=${REGION:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}}
  [[ -n $REGION ]] || fail "no AWS region is set" "Say --region us-east-1, or set AWS_REGION"
  if [[ -z $ACCOUNT ]]; then
    ACCOUNT=$(aws sts get-caller-identity --region "$REGION" --query Account --output text 2>"$LOG") ||
      fail "AWS does not know who is calling ($(reason))" "Log in: aws sso login, aws configure, or AWS_PROFILE"
  fi
  REGISTRY=$ACCOUNT.dkr.ecr.$REGION.amazonaws.com
  [[ $REGION != cn-* ]] || REGISTRY+=.cn
}

# --- ECR --------------------------------------------------------------------------------------------------------

ecr() {
  aws ecr "$@" --region "$REGION" --registry-id "$ACCOUNT" 2>"$LOG"
}

ensure_repository() {
  ! ecr describe-repositories --repository-names "$1" >/dev/null || return 0
  grep -q RepositoryNotFoundException "$LOG" || fail "ECR refuses to show $1 ($(reason))" "Ask for ecr:DescribeRepositories"
  say "creating the repository $1"
  ecr create-repository --repository-name "$1" --image-tag-mutability IMMUTABLE \
    --image-scanning-configuration scanOnPush=true >/dev/null ||
    fail "the repository $1 is missing and cannot be created ($(reason))" "Ask for ecr:CreateRepository, or have it made"
  ecr put-lifecycle-policy --repository-name "$1" --lifecycle-policy-text file://scripts/ecr_lifecycle.json >/dev/null ||
    fail "the repository $1 is made, but has no lifecycle policy ($(reason))" \
      "Ask for ecr:PutLifecyclePolicy, delete the repository, and try again"
}

# An immutable tag is that image for ever; prints it.
already_there() {
  local digest
  digest=$(ecr describe-images --repository-name "$1" --image-ids "imageTag=$2" \
    --query 'imageDetails[0].imageDigest' --output text) || return 1
  [[ $digest == sha256:* ]] || return 1
  say "$1:$2 is in ECR already"
  echo "$REGISTRY/$1@$digest"
}

login() {
  local token
  {
    # First the one, then the other: in a pipe Docker's complaint of an empty password would hide AWS's reason.
    token=$(aws ecr get-login-password --region "$REGION") &&
      "$DOCKER" login --username AWS --password-stdin "$REGISTRY" <<<"$token"
  } >"$LOG" 2>&1 || fail "no login to $REGISTRY ($(reason))" "Ask for ecr:GetAuthorizationToken, and see that the host can be reached"
}

# --- build and push ---------------------------------------------------------------------------------------------

build() {
  local command=(build) base=${KENNEL_BASE_IMAGE:-} found
  # One platform, Docker's media types, no attestation: SageMaker and Lambda refuse anything else.
  [[ -z $BUILDX ]] ||
    command=(buildx build --provenance=false --sbom=false '--output=type=docker,oci-mediatypes=false')
  command+=(--progress plain --platform "$PLATFORM" --file "containers/$1/Dockerfile" --tag "$2"
    --build-arg "REVISION=$TAG" --build-arg "VERSION=${VERSION:-unknown}" --build-arg "SOURCE=${SOURCE:-unknown}")
  if [[ -n $CPU && $1 == serving ]]; then
    command+=(--build-arg ACCELERATOR=cpu)
    base=${base:-debian:bookworm-slim}
  fi
  [[ -z $base ]] || command+=(--build-arg "BASE_IMAGE=$base")
  [[ -z ${KENNEL_WHEELS_IMAGE:-} ]] || command+=(--build-arg "WHEELS_IMAGE=$KENNEL_WHEELS_IMAGE")
  secret ca KENNEL_CA_BUNDLE
  secret pip KENNEL_PIP_CONFIG
  say "building $2"
  DOCKER_BUILDKIT=1 "$DOCKER" "${command[@]}" . 2>&1 | tee "$LOG" >&2 || explain_build "$1"
  found=$("$DOCKER" image inspect --format '{{.Os}}/{{.Architecture}}' "$2")
  [[ $found == "$PLATFORM" ]] || fail "the image is for $found, SageMaker runs $PLATFORM" "Take a base for $PLATFORM"
}

# Adds to build()'s `command`.
secret() {
  [[ -n ${!2:-} ]] || return 0
  [[ -r ${!2} ]] || fail "$2=${!2} cannot be read" "Name a file, or unset it"
  command+=(--secret "id=$1,src=${!2}")
}

explain_build() {
  local what="the $1 image could not be built"
  ! logged 'no space left' || fail "$what: no disk space is left" "Free some: docker system prune"
  ! logged 'exec format error|no match for platform|does not match the specified platform' ||
    fail "$what: wrong platform, this machine cannot run $PLATFORM" \
      "Let it: docker run --privileged --rm tonistiigi/binfmt --install amd64, or build on the base of that platform"
  ! logged 'CERTIFICATE_VERIFY_FAILED' || fail "$what: pip trusts no certificate here" "Set KENNEL_CA_BUNDLE to yours"
  # On one line: every build loads metadata, and what is "not found" later on is something else.
  ! logged '(LLB definition|source metadata|pull access).*(no such host|not found|denied|i/o timeout|refused)' ||
    fail "$what: its base cannot be pulled" "Set KENNEL_BASE_IMAGE to one you have; scripts/base_image.sh makes one"
  ! logged 'No matching distribution' ||
    fail "$what: pip does not find $(grep -oE 'found for .*' "$LOG" | tail -n 1 | cut -c 11-)" \
      "Give it: KENNEL_PIP_CONFIG for your index, KENNEL_WHEELS_IMAGE for wheels"
  fail "$what ($(reason))" "See the lines above"
}

push() {
  local repository=${1%:*} digest
  say "pushing $1"
  "$DOCKER" push "$1" 2>&1 | tee "$LOG" >&2 || explain_push "$1"
  digest=$("$DOCKER" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$1" |
    grep -F "$repository@" | head -n 1) || fail "$1 was pushed, but the engine tells no digest" "Run the same command again"
  # Engines that keep images in containerd can push OCI manifests all the same.
  ! "$DOCKER" manifest inspect --insecure "$digest" 2>/dev/null | grep -q 'vnd.oci.image' ||
    fail "$1 was pushed with OCI media types, which SageMaker may refuse" "Turn off Docker's containerd image store"
  echo "$digest"
}

explain_push() {
  local host=${1%%/*} before="nothing was pushed"
  ! logged ': Pushed' || before="$1 was pushed by half: layers arrived, no image names them; they are not sent twice"
  ! logged 'no basic auth|unauthorized|denied|authentication required|token has expired' ||
    fail "$before: no login at $host, or not for this repository" "Log in: docker login $host"
  ! logged 'name unknown|repository .* (does not exist|not found)|repository name not known' ||
    fail "$before: $host has no repository ${1#*/}" "Create it, or see that --registry is right"
  ! logged 'immutable|already exists in the' || fail "$before: this tag is taken for ever" "Commit, and build again"
  ! logged 'no space left' || fail "$before: no disk space is left" "Free some, here or at $host, and push again"
  fail "$before ($(reason))" "Run the same command again"
}

# --- words ------------------------------------------------------------------------------------------------------

logged() {
  grep -qiE "$1" "$LOG"
}

# The last line that says something, as one short line.
reason() {
  grep -vE '^\s*(-+)?$' "$LOG" | tail -n 1 | tr -s '[:space:]' ' ' | sed 's/ $//' | cut -c 1-200
}

say() {
  echo "build_push.sh: $1" >&2
}

fail() {
  echo "$1. $2." >&2
  exit 2
}

main "$@"
