# syntax=docker/dockerfile:1
# The service alone, to be used with a database elsewhere (DATABASE_URL): compose.yaml has both.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY migrations migrations
COPY src src
# What is downloaded and built stays in caches of the builder; only the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --release --locked \
    && install -D -m 0755 target/release/tallymark /out/tallymark

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 tallymark \
    && useradd --system --uid 10001 --gid tallymark --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin tallymark \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/tallymark
COPY --from=build /out/tallymark /usr/local/bin/tallymark
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
ENV TALLYMARK_LISTEN=0.0.0.0:50051
# Events that are acknowledged and not in the database yet: they must outlive the container. In a directory within the
# volume, since the root of one is not always empty. A new volume gets the owner of the directory made above.
ENV TALLYMARK_EVENT_LOG_DIR=/var/lib/tallymark/event-log
VOLUME /var/lib/tallymark
EXPOSE 50051
# The start waits for the database and applies migrations, which does not count as failing. Later events are taken while
# the database is away, and whoever restarts unhealthy containers would only interrupt that: intake is what is asked for.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["tallymark", "healthcheck", "--service", "tallymark.v1.IngestService"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tallymark"]
CMD ["serve"]
