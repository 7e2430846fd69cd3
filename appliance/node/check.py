"""Check of the destinations: reached, trusted, what they take, whether they commit to it.

A result a line, with the remedy; nothing is stored anywhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association

from mammosono.appliance.doctor.check_result import CheckResult, State, fail, note, ok, warn
from mammosono.appliance.node import commitment, stow
from mammosono.appliance.node.association import Context, Rejected, accepts, associate
from mammosono.appliance.node.contexts import (
    OBJECTS,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    UNCOMPRESSED,
    VERIFICATION,
    ObjectContext,
)
from mammosono.appliance.node.destinations import Destination, Dimse, Stow, Tls
from mammosono.appliance.node.outbox import Outbox
from mammosono.appliance.node.probe import Dates, Unreachable, dates_of, probe

ANSWER_S = 15.0
SOON = timedelta(days=30)
"""A certificate that ends within this time is warned of."""


def check(
    destinations: Sequence[Destination], outbox: Outbox, listener: tuple[str, int]
) -> Iterator[CheckResult]:
    """listener: address and port of our own, to which a PACS brings its commitments. Takes seconds
    a destination."""
    yield _listener(*listener)
    if not destinations:
        yield note(
            "destinations",
            "none is configured: nothing is sent",
            "to have results sent, add a table [[destination]] to dicom.toml",
        )
    for destination in destinations:
        way = destination.way
        if isinstance(way, Stow):
            yield from _stow(destination.name, way)
        else:
            yield from _dimse(destination, way, outbox, listener[1])


def _listener(address: str, port: int) -> CheckResult:
    topic = "our listener"
    try:
        probe("127.0.0.1" if address == "0.0.0.0" else address, port, None)
    except Unreachable:
        return warn(topic, f"nobody listens at port {port}", "start it: mammosono node run")
    return ok(topic, f"somebody listens at port {port}")


def _dimse(
    destination: Destination, way: Dimse, outbox: Outbox, our_port: int
) -> Iterator[CheckResult]:
    name = destination.name
    connection = _connection(way.host, way.port, way.tls, f"{name}: connection")
    yield from connection
    if connection[-1].state is State.FAIL:
        return
    wanted = [context for context in OBJECTS if context.kind in destination.objects]
    answers = [(evt.EVT_N_EVENT_REPORT, commitment.handler(outbox))]
    try:
        with associate(way, _contexts(destination, wanted), answers) as association:
            yield _echo(name, way, association)
            for context in wanted:
                yield _object(name, context, association)
            if destination.confirms:
                yield _commitment(name, way, association, outbox, our_port)
                yield _query(name, association)
    except (Unreachable, Rejected) as why:
        yield fail(f"{name}: association", why.reason, why.remedy)


def _contexts(destination: Destination, wanted: Sequence[ObjectContext]) -> Iterator[Context]:
    yield VERIFICATION, UNCOMPRESSED
    if destination.confirms:
        yield STORAGE_COMMITMENT, UNCOMPRESSED
        yield STUDY_ROOT_FIND, UNCOMPRESSED
    for context in wanted:
        yield context.sop_class, context.syntaxes


def _connection(host: str, port: int, tls: Tls | None, topic: str) -> list[CheckResult]:
    """Of TCP and TLS; the last is a fail if that is where it ends."""
    try:
        theirs = probe(host, port, tls)
    except Unreachable as why:
        return [fail(topic, why.reason, why.remedy)]
    results = [ok(topic, f"{host} port {port} is reached")]
    now = datetime.now(timezone.utc)
    if theirs is not None:
        results.append(_certificate(f"{topic}, TLS", "its certificate", theirs, now))
    if tls is not None and tls.certificate is not None:
        ours = dates_of(tls.certificate)
        if ours is not None:
            results.append(_certificate(f"{topic}, TLS", "our certificate", ours, now))
    return results


def _certificate(topic: str, whose: str, dates: Dates, now: datetime) -> CheckResult:
    if wrong := dates.wrong(now):
        return fail(topic, f"{whose} {wrong}", "install one that holds")
    if dates.end - now < SOON:
        return warn(topic, f"{whose} ends on {dates.end:%Y-%m-%d}", "install a new one before")
    return ok(topic, f"{whose} holds until {dates.end:%Y-%m-%d}")


def _echo(name: str, way: Dimse, association: Association) -> CheckResult:
    topic = f"{name}: echo"
    if not accepts(association, VERIFICATION):
        return note(topic, "it takes our associations, but no C-ECHO")
    status = association.send_c_echo()
    if "Status" in status and status.Status == 0:
        return ok(topic, f"{way.ae_title} answers {way.calling}")
    return fail(topic, "it does not answer a C-ECHO", "its log may say why")


def _object(name: str, context: ObjectContext, association: Association) -> CheckResult:
    topic = f"{name}: {context.kind.value}"
    for accepted in association.accepted_contexts:
        if accepted.abstract_syntax == context.sop_class:
            return ok(topic, f"it takes {context.name}, {accepted.transfer_syntax[0].name}")
    return fail(
        topic,
        f"it takes no {context.name}",
        f"have it take {context.sop_class}; what it does not take is refused, the rest is sent\n"
        f'or take "{context.kind.value}" out of its objects',
    )


def _commitment(
    name: str, way: Dimse, association: Association, outbox: Outbox, our_port: int
) -> CheckResult:
    """Asks about an object that nobody has: the answer, that it is not kept, is what is waited
    for."""
    topic = f"{name}: commitment"
    unknown = UID(f"2.25.{uuid.uuid4().int}")
    remedy = "switch storage commitment on there, or set commitment = false"
    if not accepts(association, STORAGE_COMMITMENT):
        return warn(topic, "it commits to nothing; it will be queried instead", remedy)
    transaction = outbox.request(name)
    reference = commitment.reference(OBJECTS[0].sop_class, unknown)
    try:
        status = commitment.request(association, transaction, [reference])
    except Unreachable as why:
        return fail(topic, why.reason, remedy)
    if status != 0:
        return warn(topic, f"it takes no request, status {status:04X}", remedy)
    if commitment.wait_for_answer(outbox, transaction, ANSWER_S):
        return ok(topic, "asked, and its answer came")
    return warn(
        topic,
        f"it took the request, and no answer came in {ANSWER_S:.0f} seconds",
        f"enter {way.calling} there with this machine's address and port {our_port}, for storage "
        f"commitment\nif it answers from another title or address than {way.ae_title} at "
        f"{way.host}: enter those as a [[sender]] in dicom.toml\nhave mammosono node run running",
    )


def _query(name: str, association: Association) -> CheckResult:
    topic = f"{name}: query"
    if accepts(association, STUDY_ROOT_FIND):
        return ok(topic, "it can be asked what it has")
    return note(topic, "it takes no C-FIND: without its commitment, objects stay unconfirmed")


def _stow(name: str, way: Stow) -> Iterator[CheckResult]:
    address = urlsplit(way.url)
    port = address.port or (443 if address.scheme == "https" else 80)
    connection = _connection(address.hostname or "", port, way.tls, f"{name}: connection")
    yield from connection
    if connection[-1].state is State.FAIL:
        return
    topic = f"{name}: service"
    try:
        with stow.connect(way) as client:
            status, _ = stow.ask(client, way, "GET", "/studies?limit=1")
    except (Unreachable, Rejected) as why:
        yield fail(topic, why.reason, why.remedy)
        return
    if status in (200, 204):
        yield ok(topic, "it answers a query; that it stores is only seen by storing")
    else:
        yield note(topic, f"it answers no query, HTTP {status}; that may be meant")
