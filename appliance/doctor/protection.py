"""Checks of what keeps others out: permissions, given certificates, tokens, audit log."""

from __future__ import annotations

from datetime import datetime, timezone

from mammosono.appliance.doctor.check_result import CheckResult, fail, failed, note, ok, warn
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.security import audit, tokens
from mammosono.appliance.security.audit import AuditLog
from mammosono.appliance.security.permissions import brief, exposed, remedy
from mammosono.appliance.security.tokens import Tokens
from mammosono.appliance.settings import Settings

PERMISSIONS = "Permissions"
CERTIFICATE = "Certificate"
TOKENS = "Tokens"
AUDIT_LOG = "Audit log"


def permissions(settings: Settings) -> CheckResult:
    found = exposed(settings)
    if found:
        return warn(PERMISSIONS, f"others may read or change {brief(found)}", remedy(settings))
    return ok(PERMISSIONS, "what the appliance keeps is its own user's alone")


def certificate(settings: Settings, host: Host, *, used: bool) -> CheckResult:
    """Of given certificates the dates; used: that TLS is on."""
    given = (settings.tls_certificate, settings.tls_client_ca)
    if not used or not any(given):
        return note(CERTIFICATE, "none is given; the appliance's own has no end")
    # Its library takes a while to load.
    from mammosono.appliance.security.tls import CertificateUnreadable, out_of_date

    try:
        found = out_of_date(settings, datetime.fromtimestamp(host.now(), timezone.utc))
    except CertificateUnreadable as error:
        return failed(CERTIFICATE, error)
    if found:
        return fail(
            CERTIFICATE,
            found,
            "install one that holds, then restart the service\nif it should hold: set the clock",
        )
    return ok(CERTIFICATE, "what is given holds today")


def tokens_(settings: Settings) -> CheckResult:
    known = Tokens(settings.state_folder() / tokens.FILE)
    try:
        count, in_use = len(known.all()), known.in_use
    except StorageFailed as error:
        return failed(TOKENS, error)
    if not in_use:
        return note(TOKENS, "there are none", "mammosono token add NAME --role ROLE makes one")
    return (
        ok(TOKENS, f"{count} are known")
        if count
        else warn(
            TOKENS, "all are revoked: nobody gets in", "run: mammosono token add NAME --role ROLE"
        )
    )


def audit_log(settings: Settings) -> CheckResult:
    """Its end; `mammosono audit verify` looks at every line."""
    try:
        fault = AuditLog(settings.state_folder() / audit.FILE).fault()
    except OSError as error:
        return fail(AUDIT_LOG, f"it cannot be read: {error.strerror}", "run as the service's user")
    if fault:
        return fail(AUDIT_LOG, f"it is not as it was left: {fault}", audit.REMEDY)
    return ok(AUDIT_LOG, "it ends as it was left; every line: mammosono audit verify")
