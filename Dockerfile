# Two images from one build. The last one, made without --target, holds hapsync alone: for what needs only etcd, as
# hapsync register does. The target agent is HAProxy's image with hapsync in it: before a configuration is used,
# hapsync lets haproxy -c check it, and the haproxy that checks should be the one that runs.

FROM golang:1.26 AS build
WORKDIR /src
# where modules come from; empty: Go's default
ARG GOPROXY
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
COPY go.mod go.sum ./
# The toolchain of go.mod, or the image's if that is newer, or if the other cannot be fetched.
ENV GOTOOLCHAIN=
RUN if GOTOOLCHAIN=auto go version; then go env -w GOTOOLCHAIN=auto; \
    else echo "the toolchain of go.mod cannot be fetched: building with that of the image"; go env -w GOTOOLCHAIN=local; fi
# The large ones of what hapsync is made of, in a layer of their own: they outlast a change of hapsync's code.
RUN go build \
    github.com/haproxytech/client-native/v5/configuration \
    github.com/haproxytech/config-parser/v5 \
    github.com/prometheus/client_golang/prometheus/promhttp \
    github.com/urfave/cli/v2 \
    go.etcd.io/etcd/client/v3
COPY cmd/hapsync cmd/hapsync
COPY haproxy haproxy
COPY registry registry
COPY sync sync
ARG VERSION=unknown
ARG COMMIT
ARG DATE
RUN go build -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /out/hapsync ./cmd/hapsync

FROM haproxy:3.2 AS agent
COPY --from=build /out/hapsync /usr/local/bin/
USER root
# a new volume that is mounted there gets this owner
RUN install -d -o haproxy -g haproxy /etc/haproxy /run/haproxy
USER haproxy
STOPSIGNAL SIGTERM
ENTRYPOINT ["hapsync"]
CMD ["agent"]
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["hapsync", "status", "--ready"]
ARG VERSION=unknown
ARG COMMIT
ARG DATE
LABEL org.opencontainers.image.title="hapsync-agent" \
    org.opencontainers.image.description="HAProxy, and the agent that keeps it in line with a service registry in etcd" \
    org.opencontainers.image.source="https://github.com/hapsync/hapsync" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$COMMIT" \
    org.opencontainers.image.created="$DATE"

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/hapsync /usr/local/bin/
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["hapsync"]
# good where etcd answers
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s CMD ["hapsync", "list", "--answers"]
ARG VERSION=unknown
ARG COMMIT
ARG DATE
LABEL org.opencontainers.image.title="hapsync" \
    org.opencontainers.image.description="Keeps HAProxy in line with a service registry in etcd" \
    org.opencontainers.image.source="https://github.com/hapsync/hapsync" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$COMMIT" \
    org.opencontainers.image.created="$DATE"
