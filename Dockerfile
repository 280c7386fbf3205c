# syntax=docker/dockerfile:1
# dagy_queue's own services. `./scripts/build-image service` (or `local`) builds it; see docs/images.md.
#   service  dispatcher, bridge, Flower and the HTTP API: the command says which
#   local    the same, and the local AWS whose ECS runs containers as processes: for docker-compose.yml alone
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
# The newest of the release: versions of Debian's packages differ between platforms, and old ones are not kept.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock worker_image/build.lock ./
RUN python -m venv /opt/dagy \
 && /opt/dagy/bin/python -m pip install --no-compile --require-hashes --requirement requirements.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --no-compile --require-hashes --requirement build.lock
COPY pyproject.toml README.md LICENSE ./
COPY dagy_queue dagy_queue
COPY worker_image worker_image
RUN /opt/build/bin/python -m pip wheel --no-build-isolation --no-deps --wheel-dir /src/wheels /src /src/worker_image \
 && /opt/dagy/bin/python -m pip install --no-compile --no-index --no-deps /src/wheels/*.whl
# Nobody can write bytecode in a read-only container; copying may change dates, so they are not compared.
RUN /opt/dagy/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/dagy/lib

FROM build AS build-local
COPY requirements-local.lock ./
RUN /opt/dagy/bin/python -m pip install --no-compile --require-hashes --requirement requirements-local.lock \
 && /opt/dagy/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/dagy/lib

FROM ${PYTHON_IMAGE} AS base
RUN groupadd --gid 10001 dagy \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin dagy \
 && python -m compileall -q --invalidation-mode unchecked-hash -x "/(idlelib|lib2to3|site-packages|test|tkinter|turtledemo)/" \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /usr/bin/tini-static /usr/local/bin/tini
ENV PATH=/opt/dagy/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
VOLUME ["/tmp"]
STOPSIGNAL SIGTERM
# As process 1 Python would not reap what its children leave behind, nor get a SIGTERM before its handler is there.
ENTRYPOINT ["tini", "-s", "--"]
CMD ["dagy-queue", "--help"]
LABEL org.opencontainers.image.title="dagy-queue" \
      org.opencontainers.image.description="An event-driven Celery queue for Python work on AWS ECS Fargate" \
      org.opencontainers.image.licenses="MIT"

FROM base AS local
COPY --from=build-local /opt/dagy /opt/dagy

FROM base AS service
COPY --from=build /opt/dagy /opt/dagy
ARG CREATED=""
ARG REVISION=""
ARG SOURCE=""
ARG VERSION=""
LABEL org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}"
