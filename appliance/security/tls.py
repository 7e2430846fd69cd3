"""TLS: a key and a self-signed certificate made at the first start, or those of the settings."""

from __future__ import annotations

import fcntl
import hashlib
import re
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mammosono.appliance.security.exposure import StartRefused, is_loopback
from mammosono.appliance.settings import Settings
from mammosono.engines.disk import write_whole

# A Jetson Nano's clock stands at an arbitrary date until it was set, so the certificate's dates
# must not depend on it; RFC 5280 4.1.2.5 has this date for "no well-defined end".
_BEGIN = datetime(2020, 1, 1, tzinfo=timezone.utc)
_NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)

# Forward secrecy and authenticated encryption alone: no CBC, no RSA key exchange (RFC 9325, 4.2).
# Those of TLS 1.3, which this does not name, are all like that.
TLS_1_2_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:!PSK:!aNULL"

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*")
_ANY = ("0.0.0.0", "::")
_SIOCGIFADDR = 0x8915  # linux/sockios.h
_OWN = 0o600


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM files. The certificate may be followed by its chain."""

    key: Path
    certificate: Path


def server_context(settings: Settings) -> ssl.SSLContext:
    """The TLS of the service. Raises StartRefused with the remedy."""
    identity = _identity(settings)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(identity.certificate, identity.key)
        if settings.tls_client_ca is not None:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError):
        raise StartRefused(
            "the TLS key, certificate or client CA cannot be read, or they do not belong together; "
            "check MAMMOSONO_TLS_KEY, MAMMOSONO_TLS_CERTIFICATE and MAMMOSONO_TLS_CLIENT_CA"
        ) from None
    return context


class CertificateUnreadable(ValueError):
    """A given file holds no certificates. `str(error)` is one line with the remedy."""


def out_of_date(settings: Settings, now: datetime) -> str:
    """Which given certificate has expired or is not valid yet, of the server's chain and of those
    who sign clients; empty if none. now: UTC. Raises CertificateUnreadable."""
    for name, file in (
        ("MAMMOSONO_TLS_CERTIFICATE", settings.tls_certificate),
        ("MAMMOSONO_TLS_CLIENT_CA", settings.tls_client_ca),
    ):
        if file is None:
            continue
        try:
            given = x509.load_pem_x509_certificates(file.read_bytes())
        except (OSError, ValueError):
            raise CertificateUnreadable(
                f"{name} holds no certificate that can be read; give a PEM file"
            ) from None
        for number, certificate in enumerate(given, 1):
            which = f"certificate {number} of {name}"
            if now > certificate.not_valid_after_utc:
                return f"{which} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
            if now < certificate.not_valid_before_utc:
                return f"{which} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    return ""


def fingerprint(settings: Settings) -> str:
    """SHA-256 of the certificate, as browsers show it, to compare before trusting it."""
    pem = _identity(settings).certificate.read_text()
    first = pem[: pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _identity(settings: Settings) -> Identity:
    key, certificate = settings.tls_key, settings.tls_certificate
    if key is not None and certificate is not None:
        return Identity(key, certificate)
    if key is not None or certificate is not None:
        raise StartRefused("MAMMOSONO_TLS_KEY and MAMMOSONO_TLS_CERTIFICATE go together")
    asked = [name.strip() for name in (settings.tls_names or "").split(",") if name.strip()]
    if settings.host not in _ANY and not is_loopback(settings.host):
        asked.append(settings.host)
    try:
        return self_made(settings.state_folder() / "tls", asked)
    except (OSError, ValueError, TypeError) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        raise StartRefused(
            f"the appliance's TLS key or certificate cannot be read or made{why}; "
            "make the folder tls of the state folder the service's own, or remove it"
        ) from None


def self_made(folder: Path, names: Sequence[str]) -> Identity:
    """A key (ECDSA P-256) and its self-signed certificate, made if they are not there.

    names: host names and addresses that the certificate must hold; it is made anew, for the same
    key, if it lacks one. Raises OSError, and ValueError or TypeError for a file that is no key.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = Identity(folder / "key.pem", folder / "certificate.pem")
    if not identity.key.exists():
        write_whole(str(identity.key), _pem(ec.generate_private_key(ec.SECP256R1())), _OWN)
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an ECDSA key")
    if not identity.certificate.exists() or not _holds(identity.certificate, key, names):
        certificate = _certificate(key, [*names, *own_names()])
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        write_whole(str(identity.certificate), pem, _OWN)
    return identity


def own_names() -> list[str]:
    """Names and addresses of this machine, from its own configuration alone."""
    host = socket.gethostname()
    return [*dict.fromkeys([host, "localhost", "127.0.0.1", "::1", *_ipv4(), *_ipv6()])]


def _certificate(key: ec.EllipticCurvePrivateKey, names: Iterable[str]) -> x509.Certificate:
    public = key.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mammosono")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_NO_END)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        # Trust in this certificate covers this appliance, and nothing that it might sign.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    general: dict[x509.GeneralName, None] = {}
    for name in names:
        try:
            general[x509.IPAddress(ip_address(name))] = None
        except ValueError:
            if _HOST_NAME.fullmatch(name):
                general[x509.DNSName(name.lower())] = None
    return list(general)


def _holds(file: Path, key: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> bool:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    if certificate.public_key() != key.public_key():
        return False
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(_general_names(names)) <= set(held)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _ipv4() -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                asked = struct.pack("256s", name.encode())
                yield socket.inet_ntoa(fcntl.ioctl(any_socket, _SIOCGIFADDR, asked)[20:24])


def _ipv6() -> Iterator[str]:
    with suppress(OSError):  # a kernel without IPv6
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            address = IPv6Address(bytes.fromhex(line.split()[0]))
            if not address.is_link_local:
                yield str(address)
