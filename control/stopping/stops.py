"""What is done to runs as a whole: cancel, force-cancel, stop, pause, resume, and the stop of stale ones.

Each is one guarded statement on the run (see migration 0006): when it has answered, nothing more is dialed, and
its figures are final. Doing it again changes nothing.
"""

from contextlib import nullcontext
from typing import Any

from aiohttp import web

from control.context import CONTEXT, Context
from control.database import Row
from control.document.payloads import Action, ForceCancel, StopQueue
from control.requests.answers import answer
from control.requests.auth import Caller, business_asked_for
from control.requests.incoming import read_optional_payload, read_payload
from control.requests.problems import conflict
from control.resources import runs
from control.resources.runs import Named
from control.stopping.reaper import Why
from dialer.edges.wakeup import Hint
from dialer.telemetry import logger

EVENTS = {
    "cancel": "CANCEL",
    "force_cancel": "FORCE_CANCEL",
    "stop": "STOP_QUEUE",
    "pause": "PAUSE",
    "resume": "RESUME",
}


async def cancel(request: web.Request, caller: Caller) -> web.Response:
    """Nothing new is dialed; live calls end by themselves, and the run with the last of them."""
    wanted = await read_optional_payload(request, Action)
    run = await runs.named(request, caller, request.match_info["run_id"], wanted.business_id)
    done = await _stop(request, caller, run, "cancel", wanted.reason)
    return answer(
        {
            "run_id": run.run_id,
            "status": done["status"],
            "cancel_requested": done["cancel_requested"],
            "jobs_cancelled": done["jobs"],
        }
    )


async def force_cancel(request: web.Request, caller: Caller) -> web.Response:
    """At once, whoever lives; on demand the live calls are ended too."""
    wanted = await read_optional_payload(request, ForceCancel)
    run = await runs.named(request, caller, request.match_info["run_id"], wanted.business_id)
    context, hangup = request.app[CONTEXT], bool(wanted.hangup)
    if hangup and not context.hangups.possible:
        raise conflict("carrier_not_configured", "to end calls, control needs TWILIO_ACCOUNT_SID")
    with context.hangups.answering() if hangup else nullcontext():
        done = await _stop(request, caller, run, "force_cancel", wanted.reason, hangup=hangup)
        ended = await context.hangups.end_calls(run.run_id) if hangup else 0
    return answer(
        {
            "run_id": run.run_id,
            "status": done["status"],
            "jobs_cancelled": done["jobs"],
            # A slot is held exactly while its call may be live (an intent that was not sent yet may be sent this
            # moment): there is none that could be released.
            "slots_released": 0,
            "calls_hung_up": ended,
        }
    )


async def stop(request: web.Request, caller: Caller) -> web.Response:
    wanted = await read_optional_payload(request, Action)
    run = await runs.named(request, caller, request.match_info["run_id"], wanted.business_id)
    return await _stop_queue(request, caller, run, wanted.reason)


async def stop_queue(request: web.Request, caller: Caller) -> web.Response:
    wanted = await read_payload(request, StopQueue)
    run = await runs.named(request, caller, str(wanted.run_id), wanted.business_id)
    return await _stop_queue(request, caller, run, wanted.reason)


async def pause(request: web.Request, caller: Caller) -> web.Response:
    """Nothing new is dialed until `resume`. A paused run stays as it is."""
    return await _hold(request, caller, "pause")


async def resume(request: web.Request, caller: Caller) -> web.Response:
    """It waits for a daemon again. Only a paused run can be resumed."""
    return await _hold(request, caller, "resume")


async def cleanup(request: web.Request, caller: Caller) -> web.Response:
    """Stop the caller's stale runs now; for the operator, unless one is named, every business's."""
    wanted = await read_optional_payload(request, Action)
    business_id = business_asked_for(request, caller, wanted.business_id)
    context = request.app[CONTEXT]
    why = Why("STALE_DETECTION", caller.actor, wanted.reason)
    stopped = await context.reaper.stop_stale(context.settings.stale_after_seconds, why, business_id)
    if stopped:
        context.sweeps.wake()
    return answer({"cleaned_count": len(stopped), "runs": stopped})


async def _stop_queue(request: web.Request, caller: Caller, run: Named, reason: str | None) -> web.Response:
    done = await _stop(request, caller, run, "stop", reason)
    return answer({"run_id": run.run_id, "status": done["status"], "cancelled_jobs": done["jobs"]})


async def _stop(
    request: web.Request, caller: Caller, run: Named, action: str, reason: str | None, *, hangup: bool = False
) -> Row:
    context = request.app[CONTEXT]
    done: Row = await context.database.row("stop_run", run.run_id, action, caller.actor, reason, hangup)
    if done["changed"]:
        _tell(context, caller, run, action, reason, status=done["status"], jobs=done["jobs"], hangup=hangup)
        context.sweeps.wake()
    return done


async def _hold(request: web.Request, caller: Caller, action: str) -> web.Response:
    wanted = await read_optional_payload(request, Action)
    run = await runs.named(request, caller, request.match_info["run_id"], wanted.business_id)
    context = request.app[CONTEXT]
    async with context.database.transaction() as transaction:
        done: Row = await transaction.row("hold_run", run.run_id, action, caller.actor, wanted.reason)
        # Within the transaction: as it is now, before a daemon takes it.
        shown = await transaction.row("show_runs", [run.run_id])
    if done["changed"]:
        _tell(context, caller, run, action, wanted.reason, status=done["status"])
    elif not (action == "pause" and done["status"] == "paused"):
        _refuse(done)
    return answer(runs.as_shown(shown))


def _refuse(found: Row) -> None:
    if found["status"] not in runs.OPEN:
        raise conflict("run_ended", f"the run has ended: it is {found['status']}")
    if found["cancel_requested"]:
        raise conflict("cancel_requested", "the run is being cancelled")
    raise conflict("run_not_paused", f"only a paused run can be resumed; this one is {found['status']}")


def _tell(context: Context, caller: Caller, run: Named, action: str, reason: str | None, **more: Any) -> None:
    """After the commit."""
    context.hints.say(Hint("run", run.business_id, run_id=run.run_id))
    logger().info(
        EVENTS[action],
        run_id=run.run_id,
        business_id=run.business_id,
        actor=caller.actor,
        reason=reason,
        **more,
    )
