# One image for both roles: SERVICE_ROLE=api is control, worker is the daemon, all (the default) both.
# Nothing that builds is in the result, and nothing in it runs as root.

FROM python:3.13-slim AS build
RUN python -m venv /opt/dialer
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY dialer dialer
COPY control control
COPY sql sql
COPY simulator simulator
RUN /opt/dialer/bin/pip install --no-cache-dir --disable-pip-version-check '.[s3]'

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
HEALTHCHECK --interval=10s --timeout=5s --start-period=40s --retries=3 CMD ["dialer", "healthcheck"]
CMD ["dialer", "serve"]
