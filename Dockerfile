# limpet with what docker-compose.yml needs beside it, Redis and Toxiproxy, in one image: docker build -t limpet .
#
# BASE is a Debian, of release 13 or later where Go has to build Toxiproxy; whatever it has already (python3-venv, redis-server)
# is not installed again. Python packages come from the index that pip knows, or from PIP_INDEX_URL, or where `make wheels`
# has filled container/ from there, and then neither pip nor Go needs a network.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS base
RUN { command -v redis-server && python3 -c 'import ensurepip'; } >/dev/null 2>&1 \
 || { apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv redis-server \
 && rm -rf /var/lib/apt/lists/*; }

FROM base AS build
ARG PIP_INDEX_URL=""
ARG TOXIPROXY=github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0
COPY . /src
RUN python3 -m venv /opt/limpet \
 && if [ -d /src/container/wheels ]; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=/src/container/wheels; fi \
 && /opt/limpet/bin/pip install --quiet --disable-pip-version-check --no-cache-dir /src
RUN if [ -x /src/container/toxiproxy-server ]; then cp /src/container/toxiproxy-server /opt/limpet/bin/; \
 else apt-get update -qq && apt-get install -qq -y --no-install-recommends ca-certificates golang-go \
 && GOBIN=/tmp/go go install "$TOXIPROXY" && mv /tmp/go/server /opt/limpet/bin/toxiproxy-server; fi

FROM base
COPY --from=build /opt/limpet /opt/limpet
ENV PATH=/opt/limpet/bin:$PATH PYTHONUNBUFFERED=1
# Python ends in an orderly way by this one without being told how, as a container's first process too.
STOPSIGNAL SIGINT
CMD ["limpet", "--help"]
