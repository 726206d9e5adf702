"""What is in a query string, held to what control.document.operations says may be."""

from collections.abc import Callable

from aiohttp import web

from control.document.described import Operation, name_of
from control.document.operations import operation_of
from control.document.payloads import Acting
from control.requests.auth import Caller, GuardedHandler
from control.requests.incoming import is_json, pointer
from control.requests.problems import Fault, invalid


def only_known(handler: GuardedHandler) -> GuardedHandler:
    """The handler, called only with parameters that it knows, each once: a misspelt filter would find everything."""
    operation = operation_of(name_of(handler))
    if operation is None:
        return handler
    known = _known(operation)

    async def handle(request: web.Request, caller: Caller) -> web.StreamResponse:
        faults = [
            Fault(pointer((name,)), "is no parameter of this" if name not in known(request) else "is given twice")
            for name in dict.fromkeys(request.query)
            if name not in known(request) or len(request.query.getall(name)) > 1
        ]
        if faults:
            raise invalid(*faults)
        return await handler(request, caller)

    return handle


def _known(operation: Operation) -> Callable[[web.Request], frozenset[str]]:
    # The operator's programs name a business wherever they go, also where it says nothing.
    always = frozenset(Acting.model_fields)
    if operation.query is not None:
        always |= frozenset(operation.query.model_fields)
    settings = operation.settings_of_csv
    of_csv = always | frozenset(settings.model_fields) if settings is not None else always
    # With a body of another type they are not what is wrong: the handler refuses that type.
    return lambda request: always if is_json(request) else of_csv
