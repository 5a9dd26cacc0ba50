# api2db in a container. Mount the project's config.yaml, and keep the volume:
#
#   docker run -d --stop-timeout 40 -p 127.0.0.1:8282:8282 \
#     -v ./config.yaml:/project/config.yaml:ro -v api2db-store:/project/STORE api2db
#
# The status page is reached from outside if config.yaml has
#   status: { bind: "0.0.0.0:8282", token: "${STATUS_TOKEN}" }
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv /opt/api2db \
    && /opt/api2db/bin/python -m pip install --require-hashes -r requirements/run.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY api2db api2db
RUN /opt/build/bin/python -m hatchling build -t wheel -d /opt/wheel \
    && /opt/api2db/bin/python -m pip install --no-deps /opt/wheel/*.whl \
    && /opt/api2db/bin/python -m pip uninstall --yes pip \
    && /opt/api2db/bin/api2db --version

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="api2db" \
      org.opencontainers.image.description="From APIs into databases, every row once" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/api2db/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The folder is made here so that a new volume belongs to the user.
RUN useradd --system --uid 10001 --home-dir /project --shell /usr/sbin/nologin api2db \
    && install -d -o api2db -g api2db -m 0700 /project/STORE
COPY --from=build /opt/api2db /opt/api2db
USER 10001
WORKDIR /project
VOLUME /project/STORE
EXPOSE 8282
HEALTHCHECK --interval=30s --timeout=10s --start-period=1m CMD ["api2db", "status", "--alive"]
ENTRYPOINT ["api2db"]
CMD ["run"]
