#!/usr/bin/env bash
# standins.sh FOLDER: local images under the names that docker-compose.yml and the Dockerfile pull, made from Debian's
# packages, for a machine that reaches no image registry. They prove our files, not the official images.
set -euo pipefail
work=$1
mkdir -p "$work"

debian() {
  local root=$work/debian mirror
  if [ ! -d "$root" ]; then
    mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources)
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' bookworm "$root.part" "$mirror" \
      --include=ca-certificates,netbase,tzdata,libssl3,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,zlib1g,libreadline8,libncursesw6,libuuid1,libexpat1
    # This machine's certificates and package sources: what reaches them from here reaches them from a build.
    cp /usr/local/share/ca-certificates/*.crt "$root.part/usr/local/share/ca-certificates/" 2>/dev/null || true
    chroot "$root.part" update-ca-certificates >/dev/null 2>&1
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$root.part/etc/pip.conf"
    cp /etc/apt/apt.conf.d/99* "$root.part/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp /etc/apt/sources.list.d/debian.sources "$root.part/etc/apt/sources.list.d/"
    rm -f "$root.part/etc/apt/sources.list"
    mv "$root.part" "$root"
  fi
  tar -C "$root" --numeric-owner -c . | docker import -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
    -c 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' - standin-debian >/dev/null
}

# python TAG: the interpreter that runs the tests where it was built by hand, else Debian's.
python() {
  local context=$work/python minor prefix
  rm -rf "$context" && mkdir -p "$context"
  prefix=$(python3 -c 'import sys; print(sys.base_prefix)')
  minor=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if [ "$minor" = 3.11 ] && [ "$prefix" != /usr ]; then
    tar -C "$prefix" --exclude=site-packages --exclude=__pycache__ --exclude='*.a' --exclude="lib/python$minor/test" \
      --exclude='config-*' -cf "$context/python.tar" bin/python3 "bin/python$minor" lib
    cat >"$context/Dockerfile" <<EOF
FROM standin-debian
ADD python.tar /usr/local/
RUN ldconfig && mkdir -p /usr/local/lib/python$minor/site-packages && python3 -m ensurepip >/dev/null \
 && ln -s python3 /usr/local/bin/python && ln -s pip3 /usr/local/bin/pip
EOF
  else
    cat >"$context/Dockerfile" <<'EOF'
FROM standin-debian
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-pip python3-venv \
    python-is-python3 && rm -rf /var/lib/apt/lists/* /usr/lib/python3.11/EXTERNALLY-MANAGED
EOF
  fi
  docker build -q -t "$1" "$context" >/dev/null
}

# from_package TAG PACKAGES USER: a program of Debian's; the caller's lines on stdin end the Dockerfile.
from_package() {
  local context=$work/${1%%:*}
  mkdir -p "$context"
  {
    printf 'FROM standin-debian\nRUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq'
    printf ' --no-install-recommends %s && rm -rf /var/lib/apt/lists/*\n' "$2"
    cat
  } >"$context/Dockerfile"
  docker build -q -t "$1" "$context" >/dev/null
}

debian
for image in "${@:2}"; do
  docker image inspect "$image" >/dev/null 2>&1 && continue
  case $image in
    python:*) python "$image" ;;
    redis:*) from_package "$image" redis-server <<'EOF' ;;
RUN usermod -u 999 redis && mkdir -p /data && chown redis /data
WORKDIR /data
EOF
    haproxy:*) from_package "$image" haproxy <<'EOF' ;;
USER haproxy
CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
EOF
    prom/prometheus:*) from_package "$image" prometheus <<'EOF' ;;
RUN mkdir -p /prometheus && chown nobody /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
EOF
    *) echo "no stand-in for $image" ;;
  esac
done
