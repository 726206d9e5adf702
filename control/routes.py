"""What is answered where, and to whom."""

from control.carrier import amd, callbacks, recordings_callback
from control.document import docs, openapi
from control.events import stream
from control.lists import retry, start
from control.probes import health, metrics
from control.requests.auth import Access, GuardedHandler
from control.requests.problems import Handler
from control.resources import businesses, counts, daemons, jobs, keys, recordings, recordings_file, report, runs
from control.stopping import stops

READ, WRITE, OPERATOR = Access.READ, Access.WRITE, Access.OPERATOR

PROBES: tuple[tuple[str, Handler], ...] = (
    ("/livez", health.livez),
    ("/readyz", health.readyz),
    ("/api/health", health.health),
    ("/metrics", metrics.metrics),
    ("/api/openapi.json", openapi.show),
    ("/docs", docs.page),
)

# Signed by the carrier.
CALLBACKS: tuple[tuple[str, Handler], ...] = (
    ("/webhook/call_status", callbacks.call_status),
    ("/webhook/outbound_call", callbacks.outbound_call),
    ("/webhook/amd_status", amd.amd_status),
    ("/webhook/recording_status", recordings_callback.recording_status),
)

# For bearers of a token.
ROUTES: tuple[tuple[str, str, GuardedHandler, Access], ...] = (
    ("POST", "/api/outbound_calls/start", start.start_run, WRITE),
    ("POST", "/api/runs", start.start_run, WRITE),
    ("GET", "/api/outbound_calls/jobs/active", runs.active, READ),
    ("GET", "/api/outbound_calls/jobs/{run_id}/status", runs.show, READ),
    ("GET", "/api/events", stream.events, READ),
    ("GET", "/api/outbound_calls/counts", counts.counts, READ),
    ("GET", "/api/runs", runs.page, READ),
    ("GET", "/api/runs/{run_id}", runs.show, READ),
    ("GET", "/api/runs/{run_id}/jobs", jobs.page, READ),
    ("GET", "/api/runs/{run_id}/report.csv", report.report, READ),
    ("GET", "/api/jobs/{job_id}", jobs.show, READ),
    ("GET", "/api/recordings", recordings.page, READ),
    ("GET", "/api/recordings/file/{call_sid}", recordings_file.send, READ),
    ("HEAD", "/api/recordings/file/{call_sid}", recordings_file.send, READ),
    ("POST", "/api/recordings/{call_sid}/retry", recordings.retry, WRITE),
    ("POST", "/api/outbound_calls/jobs/{run_id}/cancel", stops.cancel, WRITE),
    ("POST", "/api/runs/{run_id}/cancel", stops.cancel, WRITE),
    ("POST", "/api/outbound_calls/jobs/{run_id}/force-cancel", stops.force_cancel, WRITE),
    ("POST", "/api/runs/{run_id}/force-cancel", stops.force_cancel, WRITE),
    ("POST", "/api/outbound/stop-queue", stops.stop_queue, WRITE),
    ("POST", "/api/runs/{run_id}/stop", stops.stop, WRITE),
    ("POST", "/api/runs/{run_id}/pause", stops.pause, WRITE),
    ("POST", "/api/runs/{run_id}/resume", stops.resume, WRITE),
    ("POST", "/api/runs/{run_id}/retry", retry.retry_run, WRITE),
    ("POST", "/api/outbound/cleanup-stuck-jobs", stops.cleanup, WRITE),
    ("POST", "/api/businesses", businesses.create, OPERATOR),
    ("GET", "/api/businesses", businesses.page, OPERATOR),
    ("GET", "/api/businesses/{business_id}", businesses.show, OPERATOR),
    ("PATCH", "/api/businesses/{business_id}", businesses.change, OPERATOR),
    ("POST", "/api/businesses/{business_id}/keys", keys.create, OPERATOR),
    ("GET", "/api/businesses/{business_id}/keys", keys.page, OPERATOR),
    ("DELETE", "/api/keys/{key_id}", keys.revoke, OPERATOR),
    ("GET", "/api/daemons/{daemon_id}", daemons.show, OPERATOR),
    ("POST", "/api/daemons/{daemon_id}/drain", daemons.drain, OPERATOR),
)
