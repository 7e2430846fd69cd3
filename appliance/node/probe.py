"""Probe of a destination's port: name, TCP connection, TLS; in words, what is wrong with it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509

from mammosono.appliance.node.destinations import Tls
from mammosono.appliance.security.tls import TLS_1_2_SUITES

CONNECT_S = 10.0
_ALERT_S = 1.0
"""A TLS 1.3 server that refuses the client's certificate says so only after the handshake."""

# X509_V_ERR_* of openssl/x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _HOSTNAME_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64


class Unreachable(Exception):
    """The destination cannot be reached now; that may change. reason: without identity."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason, self.remedy = reason, remedy


@dataclass(frozen=True, slots=True)
class Dates:
    """Of a certificate, UTC."""

    begin: datetime
    end: datetime

    def wrong(self, now: datetime) -> str:
        """Empty if it is valid."""
        if now > self.end:
            return f"expired on {self.end:%Y-%m-%d}"
        if now < self.begin:
            return f"is not valid before {self.begin:%Y-%m-%d}"
        return ""


def probe(host: str, port: int, tls: Tls | None) -> Dates | None:
    """Connect, and shake hands where there is TLS: the dates of the destination's certificate.
    Raises Unreachable."""
    where = f"{host} port {port}"
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S) as connection:
            if tls is None:
                return None
            context = client_context(tls)
            with context.wrap_socket(connection, server_hostname=tls.name) as secure:
                der = secure.getpeercert(binary_form=True) or b""
                _read_alert(secure)
                return _dates(x509.load_der_x509_certificate(der))
    except socket.gaierror:
        raise Unreachable(
            f"the name {host} is not known here", "correct host, or give the address"
        ) from None
    except ConnectionRefusedError:
        raise Unreachable(
            f"nobody listens at {where}", "start the PACS, or correct host and port"
        ) from None
    except ssl.SSLError as error:
        assert tls is not None
        raise _tls_fault(error, host, port, tls) from None
    except ConnectionResetError:
        raise Unreachable(
            f"{where} ends the connection"
            + (": it does not speak TLS, or not to us" if tls else ""),
            "give its TLS port, or take tls = true out; enter our certificate there"
            if tls
            else "check that it is the port of the PACS",
        ) from None
    except TimeoutError:
        raise Unreachable(
            f"{where} does not answer", "check the address, the cable and the firewall"
        ) from None
    except OSError as error:
        raise Unreachable(
            f"{where} cannot be reached: {error.strerror or type(error).__name__}",
            "check the address, the cable and the firewall",
        ) from None


def client_context(tls: Tls) -> ssl.SSLContext:
    """Raises Unreachable if a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    except (OSError, ssl.SSLError):
        raise Unreachable(
            "the file of ca holds no certificate that can be read", "give a PEM file"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_SUITES)
    if tls.certificate is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key)
        except (OSError, ssl.SSLError):
            raise Unreachable(
                "certificate and key cannot be read, or do not belong together",
                "give PEM files of one pair, readable by the node's user",
            ) from None
    return context


def dates_of(file: Path) -> Dates | None:
    """Of the first certificate of a PEM file; None if there is none that can be read."""
    try:
        return _dates(x509.load_pem_x509_certificates(file.read_bytes())[0])
    except (OSError, ValueError, IndexError):
        return None


def _dates(certificate: x509.Certificate) -> Dates:
    return Dates(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _read_alert(secure: ssl.SSLSocket) -> None:
    """A DICOM server says nothing until it is asked: silence is right."""
    secure.settimeout(_ALERT_S)
    with contextlib.suppress(TimeoutError):
        if not secure.recv(1):
            raise ConnectionResetError("closed")


def _tls_fault(error: ssl.SSLError, host: str, port: int, tls: Tls) -> Unreachable:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_fault(error, host, port, tls)
    said = str(error)
    if "CERTIFICATE_REQUIRED" in said or (
        tls.certificate is None and ("HANDSHAKE_FAILURE" in said or "BAD_CERTIFICATE" in said)
    ):
        return Unreachable(
            "it asks for a certificate of ours, and none is configured",
            "give certificate and key of this destination",
        )
    if "CERTIFICATE_EXPIRED" in said:
        return Unreachable(
            "it says that our certificate has expired", "install a new certificate and key"
        )
    if "UNKNOWN_CA" in said or "BAD_CERTIFICATE" in said or "CERTIFICATE_UNKNOWN" in said:
        return Unreachable(
            "it does not trust our certificate", "enter our certificate's signer at the PACS"
        )
    if "WRONG_VERSION_NUMBER" in said or "RECORD_LAYER" in said or "UNEXPECTED_EOF" in said:
        return Unreachable(
            f"{host} port {port} does not speak TLS", "give its TLS port, or take tls = true out"
        )
    if "PROTOCOL_VERSION" in said or "UNSUPPORTED_PROTOCOL" in said:
        return Unreachable("it does not speak TLS 1.2 or 1.3", "have the PACS brought up to date")
    return Unreachable(
        f"TLS fails: {error.reason or 'without a reason'}", "compare the TLS settings of both sides"
    )


def _certificate_fault(
    error: ssl.SSLCertVerificationError, host: str, port: int, tls: Tls
) -> Unreachable:
    """The certificate is asked for once more, without a check, only to say its dates and names."""
    shown = _shown(host, port)
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        now = datetime.now(timezone.utc)
        wrong = shown and _dates(shown).wrong(now)
        return Unreachable(
            f"its certificate {wrong or 'or one of its signers is out of date'}",
            "install a new one at the PACS; if it should hold, set the clock of this machine",
        )
    if error.verify_code in (_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH):
        names = ", ".join(_names(shown)) if shown else ""
        return Unreachable(
            f"its certificate is not for {tls.name}",
            f"set tls_name to the name in it{f', one of {names}' if names else ''}",
        )
    return Unreachable(
        "its certificate is not signed by whom this destination's ca names",
        "give the PACS's certificate, or its signer's, as ca",
    )


def _shown(host: str, port: int) -> x509.Certificate | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(OSError, ValueError),
        socket.create_connection((host, port), timeout=CONNECT_S) as connection,
        context.wrap_socket(connection) as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    return None


def _names(certificate: x509.Certificate) -> Sequence[str]:
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return [str(name.value) for name in held][:5]
