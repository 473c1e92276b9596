# syntax=docker/dockerfile:1
# The server with the programs it calls: git, helm, kustomize, sops, and util-linux for the box around renderers. Runs as an
# ordinary user and writes to /data, /checkpoints and /tmp only, so its root can be read-only.

FROM golang:1.26-bookworm AS renderers
WORKDIR /build
COPY tools tools
# Nothing is taken from PATH: a link to a program of this stage would lead nowhere in the last one.
RUN BASCULE_TOOLS_FROM_PATH=0 tools/build helm kustomize sops

FROM rust:1.95-bookworm AS server
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# Our SQL is checked against .sqlx: there is no database here.
ENV SQLX_OFFLINE=true
RUN cargo build --locked --release --bin bascule

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git util-linux \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 65532 --user-group --no-create-home --home-dir /data bascule \
    && install --directory --owner=bascule --group=bascule --mode=0700 /data /checkpoints
COPY --from=renderers /build/tools/.bin/helm /build/tools/.bin/kustomize /build/tools/.bin/sops /usr/local/bin/
COPY --from=server /build/target/release/bascule /usr/local/bin/bascule
# Where the keys are, not what they are.
ENV BASCULE__SERVER__LISTEN=0.0.0.0:8080 \
    BASCULE__SERVER__ADMIN_LISTEN=0.0.0.0:9090 \
    BASCULE__SERVER__KEY="{ file = \"/data/server.key\" }" \
    BASCULE__DATABASE__DATA_DIR=/data \
    BASCULE__AUDIT__KEY="{ file = \"/data/audit.key\" }" \
    BASCULE__AUDIT__CHECKPOINTS=/checkpoints
USER 65532:65532
WORKDIR /data
VOLUME ["/data", "/checkpoints"]
EXPOSE 8080 9090
ENTRYPOINT ["bascule"]
CMD ["serve", "--config", "/etc/bascule/bascule.toml"]
