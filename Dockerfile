# One image for both roles: SERVICE_ROLE=api is control, worker is the daemon, all (the default) both.
# Nothing that builds is in the result, and nothing in it runs as root.

FROM python:3.13-slim AS build
RUN python -m venv --without-pip /opt/dialer
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY dialer dialer
COPY control control
COPY sql sql
COPY simulator simulator
# What is installed is this very folder; pyproject.toml bounds the versions of the rest.
# hadolint ignore=DL3013
RUN pip --python=/opt/dialer install --no-cache-dir --disable-pip-version-check '.[s3]'

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/dialer --create-home dialer
COPY --from=build /opt/dialer /opt/dialer
ENV PATH=/opt/dialer/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CONTROL_HOST=0.0.0.0 \
    DIALER_DATA_DIR=/var/lib/dialer
USER 10001
WORKDIR /var/lib/dialer
# Recordings, unless they are kept in a bucket.
VOLUME /var/lib/dialer
EXPOSE 8080
# A drain takes up to ten seconds: give it more than that (docker stop --time 15).
STOPSIGNAL SIGTERM
# Each look is a process of its own that lives for a second: not too often.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["dialer", "healthcheck"]
CMD ["dialer", "serve"]
