"""Processes one request from arrival to response: ledger, fault, effect and delivery.

The effect is a plain function, so it is never half done. It happens even if the client has disconnected.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from aiohttp import web

from testbed.pipedrive.fault_answers import SPOILING, answer_of, spoilt
from testbed.pipedrive.faults import ArmedFault, Effect, FaultKind, Faults, Subject
from testbed.pipedrive.ledger import Call, Ledger, Outcome

Act = Callable[[Call], web.Response]
Course = Coroutine[None, None, web.Response | None]


@dataclass
class Conductor:
    """Processes the requests of all endpoints."""

    faults: Faults
    ledger: Ledger
    now: Callable[[], float]
    _courses: set[asyncio.Task[web.Response | None]] = field(default_factory=set)

    async def perform(self, request: web.Request, subject: Subject, act: Act) -> web.StreamResponse:
        """Perform `act` and deliver its response, unless a fault strikes this request."""
        call = self.ledger.open(subject, now=self.now())
        armed = self.faults.take(subject)
        try:
            answer = await self._shielded(self._course(request, call, armed, act))
        except asyncio.CancelledError:
            self.ledger.close(call, now=self.now())
            raise
        if answer is None:
            return self._break_off(request, call)
        if armed is not None and armed.fault.kind is FaultKind.CUT:
            return await self._deliver_half(request, call, answer)
        return await self._deliver(request, call, answer)

    def stop(self) -> None:
        """Cancel every request that hangs or is slow."""
        for course in self._courses:
            course.cancel()

    async def _shielded(self, course: Course) -> web.Response | None:
        # A client that disconnects cancels its handler, but a real server continues with the request.
        task = asyncio.create_task(course)
        self._courses.add(task)
        task.add_done_callback(self._courses.discard)
        return await asyncio.shield(task)

    async def _course(
        self, request: web.Request, call: Call, armed: ArmedFault | None, act: Act
    ) -> web.Response | None:
        """Return the response to deliver, or None to break the connection."""
        if armed is None:
            return act(call)
        self.ledger.meet(call, armed)
        fault = armed.fault
        if fault.kind in SPOILING:
            return spoilt(fault, act(call))
        if fault.effect is Effect.AFTER:
            answer: web.Response | None = act(call)
            return (answer_of(fault) or answer) if await self._goes_on(request, armed) else None
        answer = answer_of(fault)
        if answer is not None or not await self._goes_on(request, armed):
            self.ledger.settle(call, Outcome.UNTOUCHED)
            return answer
        return act(call)

    async def _goes_on(self, request: web.Request, armed: ArmedFault) -> bool:
        """Delay the request as the fault demands; return False to break the connection."""
        fault = armed.fault
        if fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.delay)
        if fault.kind is FaultKind.HANG:
            await armed.cleared.wait()
            return _is_open(request)
        return fault.kind is not FaultKind.DROP and (fault.kind, fault.effect) != (
            FaultKind.CUT,
            Effect.BEFORE,
        )

    def _break_off(self, request: web.Request, call: Call) -> web.Response:
        self.ledger.close(call, now=self.now())
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _deliver(self, request: web.Request, call: Call, answer: web.Response) -> web.Response:
        try:
            await answer.prepare(request)
            await answer.write_eof()
        except ConnectionError:
            self.ledger.close(call, now=self.now())
        else:
            self.ledger.close(call, now=self.now(), status=answer.status)
        return answer

    async def _deliver_half(self, request: web.Request, call: Call, answer: web.Response) -> web.StreamResponse:
        whole = answer.text or ""
        half = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        half.content_length = len(whole)
        await half.prepare(request)
        await half.write(whole[: len(whole) // 2].encode())
        self.ledger.close(call, now=self.now())
        if request.transport is not None:
            request.transport.close()
        return half


def _is_open(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
