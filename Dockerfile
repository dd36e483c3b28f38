# An image for the workers and every command; with EXTRAS=registry,train one for the sidecar, which trains.
# Nothing in it runs as root or writes to it.
FROM python:3.12.11-slim-bookworm AS build
ARG EXTRAS=registry,trace
WORKDIR /src
COPY pyproject.toml setup.cfg README.md app.py ./
COPY schemas schemas
COPY online_models online_models
COPY streams streams
COPY agents agents
COPY offline offline
RUN python -m venv /opt/dwcp && /opt/dwcp/bin/pip install --no-cache-dir --disable-pip-version-check ".[$EXTRAS]"

FROM python:3.12.11-slim-bookworm
# What may be written: volumes, which take over the owner given here.
RUN groupadd --gid 10001 dwcp \
 && useradd --uid 10001 --gid dwcp --no-create-home --home-dir /var/cache/dwcp --shell /usr/sbin/nologin dwcp \
 && install -d -o dwcp -g dwcp /var/cache/dwcp /var/lib/dwcp/models /var/lib/dwcp/data
COPY --from=build /opt/dwcp /opt/dwcp
# Kernels are compiled once, into a volume: for the processor that runs them, not for the one that built the image.
ENV PATH=/opt/dwcp/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/var/cache/dwcp \
    DWCP_MODEL_STORE=/var/lib/dwcp/models DWCP_SIDECAR_DATA=/var/lib/dwcp/data
WORKDIR /var/lib/dwcp
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["faust", "--quiet", "-A", "app", "worker"]
