# One image with every program: gateway, callback, simulator, standalone (the default) and doctor.
#
#   docker build -t scan-login .
#   docker run --rm scan-login gateway --help
#
# It needs BuildKit, which Docker has used by default since 23.0 (before that: DOCKER_BUILDKIT=1).

ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /src
# The C library goes into the programs, so the image needs none. Only with a target named, for else the compiler's own
# plug-ins would be built with these flags, too.
ENV RUSTFLAGS="-C target-feature=+crt-static"
# Optimising across crates makes the programs somewhat smaller and faster, and takes several times as long.
ARG LTO=off
ENV CARGO_PROFILE_RELEASE_LTO=${LTO}
ENV BUILD="cargo build --release --locked --workspace --exclude bench --exclude tests"

# The dependencies: a layer of their own, which lasts until a manifest changes. Cargo wants sources of each package, so
# there are empty ones; what was made of them is removed again.
COPY Cargo.toml Cargo.lock ./
COPY shared/Cargo.toml shared/
COPY gateway/Cargo.toml gateway/
COPY callback/Cargo.toml callback/
COPY simulator/Cargo.toml simulator/
COPY standalone/Cargo.toml standalone/
COPY doctor/Cargo.toml doctor/
COPY bench/Cargo.toml bench/
COPY tests/Cargo.toml tests/
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    set -eu; \
    for package in */; do \
        mkdir "$package/src"; : >"$package/src/lib.rs"; echo 'fn main() {}' >"$package/src/main.rs"; \
    done; \
    $BUILD --target "$(rustc --print host-tuple)"; \
    for package in */src; do \
        cargo clean --release --locked --target "$(rustc --print host-tuple)" -p "${package%/src}"; \
    done; \
    rm -r */src

COPY . .
# What the programs ask the system for, beside themselves: whom to trust, and how names are looked up.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    set -eu; \
    for package in bench tests; do mkdir "$package/src"; : >"$package/src/lib.rs"; done; \
    $BUILD --target "$(rustc --print host-tuple)"; \
    mkdir -p /image/usr/local/bin /image/etc/ssl/certs /image/licenses; \
    for program in gateway callback simulator standalone doctor; do \
        mv "target/$(rustc --print host-tuple)/release/$program" /image/usr/local/bin/; \
    done; \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; \
    echo 'hosts: files dns' >/image/etc/nsswitch.conf; \
    echo 'scan-login:x:65532:65532::/nonexistent:/sbin/nologin' >/image/etc/passwd; \
    echo 'scan-login:x:65532:' >/image/etc/group; \
    cp LICENSE-MIT LICENSE-APACHE /image/licenses/

FROM scratch
COPY --from=build /image /
ENV PATH=/usr/local/bin
# A container's loopback is its own: what is published leads here. Without an account standalone says that it then lets
# anybody log in, and wants SIMULATOR=on.
ENV STANDALONE_LISTEN=0.0.0.0:8080
# By number, so that Kubernetes sees that it is not root. Nothing is written, so the file system may be read-only.
USER 65532:65532
# Public: gateway (or standalone), callback, simulator. Then their operators' listeners, which must not be public.
EXPOSE 8080 8081 8082 9090 9091 9092
# Whoever listens at ADMIN_LISTEN, port 9090 if it is not set: standalone and gateway. Callback and simulator are given
# theirs where they are started, as docker-compose.yml does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["standalone", "--healthcheck"]
CMD ["standalone"]

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="scan-login" \
      org.opencontainers.image.description="Login on a web page by scanning a WeChat Official Account's QR code" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
