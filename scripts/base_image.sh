#!/usr/bin/env bash
# What the Dockerfiles build on where no image can be pulled: a Debian made on the spot from the machine's own apt
# sources, and an image that only carries wheels which are not on the package index. No mirror is named anywhere.
set -euo pipefail

readonly SUITE=bookworm # Python 3.11, within pyproject.toml's requires-python
readonly PYTHON=3.11

usage() {
  cat <<'USAGE'
Usage: scripts/base_image.sh NAME
       scripts/base_image.sh --wheels NAME [REQUIREMENT…]

  NAME                    import a minimal Debian bookworm (as debian:bookworm-slim) as image NAME
  --wheels NAME           import an image that holds wheels of the REQUIREMENTs in its root folder;
                          without any: torch, as pyproject.toml pins it
An image that exists is left as it is (remove it to have it made anew). Prints NAME.

Environment:
  KENNEL_APT_SOURCES     an apt sources file for NAME [the machine's own debian.sources or sources.list]
  PIP_*, pip.conf        are honoured: what is on the machine's find-links is what --wheels finds

Example, and the build that uses both:
  export KENNEL_BASE_IMAGE=$(scripts/base_image.sh kennel-base:bookworm)
  export KENNEL_WHEELS_IMAGE=$(scripts/base_image.sh --wheels kennel-wheels:torch)
  export KENNEL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
  scripts/build_push.sh training
USAGE
}

main() {
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  case "${1:-}" in
    -h | --help) usage ;;
    --wheels) shift && wheels_image "$@" ;;
    "" | -*) fail "base_image.sh needs the NAME of an image, not '${1:-}'" "See scripts/base_image.sh --help" ;;
    *) base_image "$@" ;;
  esac
}

base_image() {
  (($# == 1)) || fail "base_image.sh takes one NAME" "See scripts/base_image.sh --help"
  if ! image_exists "$1"; then
    install_mmdebstrap
    bootstrap | import "$1"
  fi
  echo "$1"
}

wheels_image() {
  (($# >= 1)) || fail "--wheels needs the NAME of an image" "See scripts/base_image.sh --help"
  local name=$1 folder
  shift
  if ! image_exists "$name"; then
    (($# > 0)) || set -- "$(pinned torch)"
    folder=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now is meant
    trap "rm -rf '$folder'" EXIT
    download "$folder" "$@"
    tar -C "$folder" -c --owner=0 --group=0 . | import "$name"
  fi
  echo "$name"
}

# --- what they are made of --------------------------------------------------------------------------------------

image_exists() {
  docker version >/dev/null 2>&1 || fail "no Docker engine answers" "Start it: scripts/docker_engine.sh start"
  docker image inspect "$1" >/dev/null 2>&1
}

import() {
  docker import - "$1" >/dev/null || fail "the image $1 could not be made" "See the lines above"
}

# What debian:bookworm-slim leaves out is left out here too, so that sizes measured on this base mean something.
bootstrap() {
  say "making a Debian $SUITE from the machine's apt sources"
  # With usr-is-merged in place usrmerge can go, and all of Perl with it (50 MB).
  # shellcheck disable=SC2016 # mmdebstrap's own $1, the new system's folder
  mmdebstrap --quiet --variant=minbase --include=usr-is-merged --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='chroot "$1" apt-get purge --yes --quiet usrmerge perl perl-modules-5.36 libperl5.36 >/dev/null' \
    "$SUITE" - "$(apt_sources)" || fail "mmdebstrap could not make a Debian $SUITE" "See the lines above"
}

apt_sources() {
  local file
  for file in "${KENNEL_APT_SOURCES:-}" /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    if [[ -s $file ]]; then
      echo "$file"
      return
    fi
  done
  fail "no apt sources found" "Name a file of them in KENNEL_APT_SOURCES"
}

install_mmdebstrap() {
  ! command -v mmdebstrap >/dev/null || return 0
  if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
    fail "mmdebstrap is not installed" "Install it: sudo apt-get install mmdebstrap (Debian and Ubuntu have it)"
  fi
  say "installing mmdebstrap"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mmdebstrap; } \
    >/dev/null || fail "apt-get could not install mmdebstrap" "See the lines above"
}

# For the base's Python and platform, whatever this machine's is.
download() {
  local folder=$1
  shift
  say "fetching $*"
  "$(a_python)" -m pip download --quiet --no-deps --only-binary :all: --python-version "$PYTHON" \
    --platform manylinux_2_28_x86_64 --dest "$folder" "$@" >&2 ||
    fail "pip could not fetch $*" "Give pip a folder that has it: PIP_FIND_LINKS=FOLDER"
}

a_python() {
  if [[ -x .venv/bin/python ]]; then echo .venv/bin/python; else echo python3; fi
}

pinned() {
  grep -oE "\"$1==[^\"]+\"" pyproject.toml | head -n 1 | tr -d '"' | grep . ||
    fail "pyproject.toml pins no $1" "Give the REQUIREMENT"
}

say() {
  echo "base_image.sh: $1" >&2
}

fail() {
  echo "$1. $2." >&2
  exit 2
}

main "$@"
