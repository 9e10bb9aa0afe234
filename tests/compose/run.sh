#!/usr/bin/env bash
# Builds the images and runs the composition for real: on the Docker engine of this machine, or else, as root on Debian 12,
# on a private one from Debian's packages, with stand-ins for the base images. Anywhere else it says so and skips.
#   tests/compose/run.sh [arguments for pytest]
set -euo pipefail
cd "$(dirname "$0")/../.."

started=$SECONDS
say() { echo "[compose $((SECONDS - started)) s] $*"; }
skip() { echo "!!! SKIPPED: tests/compose: $*" >&2; exit 0; }

work=$PWD/.cache/compose
run=$(mktemp -d /tmp/rerank-compose.XXXXXX) # a socket's path may have no more than 108 characters
mkdir -p "$work"
daemon=

end() {
  local status=$?
  trap - EXIT INT TERM
  if docker version >/dev/null 2>&1; then
    timeout -k 5 60 docker compose --profile '*' down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || true
  fi
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.2; done
    kill -9 -- "-$daemon" 2>/dev/null || true # whatever is left of its group
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$run"
  say "ended with $status"
  exit "$status"
}
trap end EXIT
trap 'exit 130' INT TERM

# docker.io, its client and plug-ins come from Debian 13, where they know what our files use; the rest from Debian 12.
install_engine() {
  local apt=$work/apt mirror
  mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources)
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,parts}
  cat >"$apt/parts/trixie.sources" <<EOF
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
EOF
  cat >"$apt/apt.conf" <<EOF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/parts";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
EOF
  export DEBIAN_FRONTEND=noninteractive
  timeout 120 apt-get update -qq
  APT_CONFIG=$apt/apt.conf timeout 120 apt-get update -qq
  (cd "$apt" && APT_CONFIG=$apt/apt.conf timeout 120 apt-get download -qq \
    docker.io/trixie docker-cli/trixie docker-compose/trixie docker-buildx/trixie)
  timeout 300 apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends \
    mmdebstrap iptables "$apt"/docker*.deb >"$work/apt.log" 2>&1
}

own_engine() {
  [ "$(id -u)" = 0 ] || skip "no Docker engine answers, and starting one takes root"
  grep -q '^VERSION_ID="12"' /etc/os-release 2>/dev/null || skip "no Docker engine answers, and this is not Debian 12"
  if pgrep -x dockerd >/dev/null; then skip "a dockerd runs that does not answer us"; fi
  if ! command -v dockerd mmdebstrap >/dev/null || ! docker compose version >/dev/null 2>&1; then
    install_engine || skip "Debian's Docker packages could not be installed (see $work)"
  fi
  export DOCKER_HOST=unix://$run/docker.sock
  setsid dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$run/exec" --pidfile "$run/dockerd.pid" \
    >"$work/dockerd.log" 2>&1 &
  daemon=$!
  for _ in $(seq 120); do
    if docker version >/dev/null 2>&1; then return; fi
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.5
  done
  tail -n 3 "$work/dockerd.log" >&2
  skip "dockerd does not start here"
}

if timeout 10 docker version >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
  say "the Docker engine of this machine: $(docker info --format '{{.ServerVersion}}')"
else
  own_engine
  say "a Docker engine of our own: $(docker info --format '{{.ServerVersion}}')"
  # The pinned names, as they stand in our files, without the engines' and Grafana's, for which nothing can stand in.
  mapfile -t images < <(sed -nE 's/^FROM (\S+:\S+).*/\1/p; s/^ +image: (\S+:\S+)$/\1/p' Dockerfile docker-compose.yml docker/scale.yml |
    grep -vE '^(vllm|grafana)/' | sort -u)
  timeout -k 5 300 tests/compose/standins.sh "$work/standins" "${images[@]}"
  say "stand-ins: ${images[*]}"
fi

make -s .venv/.test
# Nobody's own .env or running composition is touched.
export COMPOSE_DISABLE_ENV_FILE=1 COMPOSE_PROJECT_NAME=rerank-test RERANK_PORT=18100 STUDIO_PORT=18101
timeout -k 5 420 docker compose --progress quiet build
say "built"
timeout -k 30 420 .venv/bin/pytest -p no:cacheprovider -x -v -s --durations=8 tests/compose/live.py "$@"
