"""TLS that the appliance speaks by itself, and what keeps it from being reached without."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from service_bench import FakeReader, ThreadReader, study, until

from mammosono.appliance.http.app import create_app
from mammosono.appliance.http.server import make_server
from mammosono.appliance.security import exposure, tls, tokens
from mammosono.appliance.security.exposure import StartRefused
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import Tokens
from mammosono.appliance.settings import Settings


def names_in(certificate: Path) -> set[str]:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    held = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in held}


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client that knows this one certificate and checks all that it can."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[int]:
    """The port of the application behind a real server."""
    server = make_server(create_app(settings, ThreadReader(FakeReader)), settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(60)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_the_appliance_makes_a_key_of_its_own_and_a_certificate_of_its_names(state: Path) -> None:
    made = tls.self_made(state / "tls", ["box.clinic.example", "10.1.2.3"])
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.key.parent.stat().st_mode) == 0o700
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert names_in(made.certificate) >= {
        "box.clinic.example",
        "10.1.2.3",
        "localhost",
        "127.0.0.1",
        "::1",
    }
    assert set(made.key.parent.iterdir()) == {made.key, made.certificate}


def test_its_dates_hold_on_an_appliance_whose_clock_was_never_set(state: Path) -> None:
    made = tls.self_made(state, [])
    certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    assert certificate.not_valid_before_utc.year == 2020
    assert certificate.not_valid_after_utc.year == 9999


def test_it_is_made_once_and_anew_for_the_same_key_when_a_name_is_asked_for(state: Path) -> None:
    first = tls.self_made(state, ["a.example"])
    key, certificate = first.key.read_bytes(), first.certificate.read_bytes()
    tls.self_made(state, ["a.example"])
    assert first.certificate.read_bytes() == certificate
    tls.self_made(state, ["A.example", "b.example"])
    assert first.certificate.read_bytes() != certificate
    assert first.key.read_bytes() == key
    assert names_in(first.certificate) >= {"a.example", "b.example"}


def test_a_certificate_of_another_key_is_replaced(state: Path) -> None:
    made = tls.self_made(state, [])
    made.key.unlink()
    tls.self_made(state, [])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.certificate, made.key)


def test_a_host_name_that_no_certificate_can_hold_is_left_out(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "jetson_nano 1 ü")
    assert "localhost" in names_in(tls.self_made(state, []).certificate)


def test_https_is_served_to_who_trusts_the_certificate_and_nobody_listens_in(
    state: Path,
) -> None:
    secret = Tokens(state / tokens.FILE).add("ward-1", [Role.WORKSTATION])
    settings = Settings(port=0, state=state, tls="on")
    with serving(settings) as port:
        trust = trusting(state / "tls" / "certificate.pem")
        with httpx.Client(base_url=f"https://localhost:{port}", verify=trust) as client:
            until(lambda: client.get("/readyz").status_code == 200)
            bearing = {"Authorization": f"Bearer {secret}"}
            assert client.post("/v1/studies", headers=bearing, **study()).status_code == 200
            signed_in = client.post("/v1/session", json={"token": secret})
            (cookie,) = signed_in.headers.get_list("set-cookie")
            assert cookie.startswith(f"__Host-mammosono-{port}=")
            assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
            assert "domain" not in cookie.lower()  # what __Host- forbids
            assert client.get("/v1/session").json()["name"] == "ward-1"
            (taken_back,) = client.delete("/v1/session").headers.get_list("set-cookie")
            assert {"Secure", "Path=/", "Max-Age=0"} <= set(taken_back.split("; "))
            assert client.get("/v1/session").status_code == 401
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://localhost:{port}/healthz")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://localhost:{port}/healthz")
        shown = tls.fingerprint(settings)
        plain = ssl.create_default_context()
        plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", port), 60) as connection,
            plain.wrap_socket(connection) as secured,
        ):
            der = secured.getpeercert(binary_form=True)
            assert der is not None
            assert secured.version() == "TLSv1.3"
        assert shown.replace(":", "").lower() == _sha256(der)


def _sha256(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()


def test_nothing_older_than_tls_1_2_is_spoken(state: Path) -> None:
    context = tls.server_context(Settings(state=state, tls="on"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


def spoken(port: int, suite: str) -> str | None:
    """The suite that a client of TLS 1.2 gets which offers this one alone; None if none."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(f"{suite}:@SECLEVEL=0")
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 60) as connection,
            client.wrap_socket(connection) as secured,
        ):
            cipher = secured.cipher()
            return cipher[0] if cipher else None
    except ssl.SSLError:
        return None


def test_tls_1_2_is_spoken_with_forward_secrecy_and_authenticated_encryption_alone(
    state: Path,
) -> None:
    def sound(name: str) -> bool:
        return name.startswith("ECDHE-") and ("-GCM-" in name or "CHACHA20" in name)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:@SECLEVEL=0")
    known = [suite["name"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"]
    assert "ECDHE-ECDSA-AES256-SHA384" in known
    with serving(Settings(port=0, state=state, tls="on")) as port:
        taken = [name for name in known if spoken(port, name) is not None]
    assert taken
    assert [name for name in taken if not sound(name)] == []
    offered = tls.server_context(Settings(state=state, tls="on")).get_ciphers()
    assert all(sound(s["name"]) for s in offered if s["protocol"] != "TLSv1.3")  # for RSA keys, too


class Authority:
    """A hospital's own: signs a certificate for a server or a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._sign("ca", self._key.public_key(), ca=True))

    def issue(self, name: str) -> tls.Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        made = tls.Identity(self.folder / f"{name}.key", self.folder / f"{name}.pem")
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        made.certificate.write_bytes(self._sign(name, key.public_key(), ca=False))
        return made

    def _sign(self, name: str, public: ec.EllipticCurvePublicKey, *, ca: bool) -> bytes:
        now = datetime.now(timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def test_a_given_certificate_is_served_and_a_client_must_show_one_where_that_is_asked(
    state: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    own, client = authority.issue("box"), authority.issue("client")
    settings = Settings(
        port=0,
        state=state,
        tls_key=own.key,
        tls_certificate=own.certificate,
        tls_client_ca=authority.file,
    )
    with serving(settings) as port:
        url = f"https://localhost:{port}/healthz"
        known = ssl.create_default_context(cafile=authority.file)
        known.load_cert_chain(client.certificate, client.key)
        assert httpx.get(url, verify=known).status_code == 200
        stranger = ssl.create_default_context(cafile=authority.file)
        with pytest.raises(httpx.HTTPError):
            httpx.get(url, verify=stranger)
    assert not (state / "tls").exists()


@pytest.mark.parametrize(
    "files",
    [
        {"tls_key": "own.key"},
        {"tls_certificate": "own.pem"},
        {"tls_key": "own.key", "tls_certificate": "missing.pem"},
        {"tls_key": "other.key", "tls_certificate": "own.pem"},
        {"tls_key": "own.key", "tls_certificate": "own.pem", "tls_client_ca": "own.key"},
    ],
    ids=["key alone", "certificate alone", "missing", "not of one pair", "no authority"],
)
def test_tls_files_that_do_not_fit_are_refused_at_start(
    state: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    authority = Authority(tmp_path)
    authority.issue("own")
    authority.issue("other")
    given = {name: tmp_path / file for name, file in files.items()}
    with pytest.raises(StartRefused, match="MAMMOSONO_TLS_KEY"):
        tls.server_context(Settings(state=state, **given))


def test_a_state_folder_that_cannot_be_used_is_refused_at_start(state: Path) -> None:
    (state / "tls").mkdir(parents=True)
    (state / "tls" / "key.pem").write_text("no key")
    with pytest.raises(StartRefused, match="remove it"):
        tls.server_context(Settings(state=state, tls="on"))


# -- what must stand before the network may reach it

LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "localhost"]
NETWORK = ["0.0.0.0", "::", "10.0.0.5", "box.clinic.example", "localhost.example"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_on_this_machine_alone_neither_tokens_nor_tls_are_needed(host: str) -> None:
    settings = Settings(host=host)
    exposure.check(settings, tokens=False)
    assert not exposure.wants_tls(settings)
    assert exposure.tokens_are_optional(settings)


@pytest.mark.parametrize("host", NETWORK)
def test_the_network_reaches_it_with_tokens_and_tls_alone(host: str) -> None:
    settings = Settings(host=host)
    assert exposure.wants_tls(settings)
    exposure.check(settings, tokens=True)
    with pytest.raises(StartRefused, match="token add"):
        exposure.check(settings, tokens=False)
    with pytest.raises(StartRefused, match="TLS is off"):
        exposure.check(Settings(host=host, tls="off"), tokens=True)


@pytest.mark.parametrize(
    ("expose", "may_lack"),
    [
        (None, set()),
        ("without-tokens", {"tokens"}),
        ("without-tls", {"tls"}),
        ("without-tokens-and-tls", {"tokens", "tls"}),
    ],
)
@pytest.mark.parametrize("lacks", [set(), {"tokens"}, {"tls"}, {"tokens", "tls"}])
def test_unless_it_was_told_in_words_what_is_missing(
    expose: str | None, may_lack: set[str], lacks: set[str]
) -> None:
    tls_setting = "off" if "tls" in lacks else "auto"
    settings = Settings.model_validate({"host": "0.0.0.0", "tls": tls_setting, "expose": expose})
    with contextlib.ExitStack() as refused:
        if not lacks <= may_lack:
            refused.enter_context(pytest.raises(StartRefused))
        exposure.check(settings, tokens="tokens" not in lacks)


def test_other_words_are_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMOSONO_EXPOSE", "yes")
    with pytest.raises(ValueError, match="without-tokens"):
        Settings()


def test_the_server_is_not_made_for_an_appliance_that_lacks_one(state: Path) -> None:
    settings = Settings(host="0.0.0.0", state=state, port=0)
    with pytest.raises(StartRefused, match=re.escape("MAMMOSONO_EXPOSE=without-tokens")):
        make_server(create_app(settings, ThreadReader(FakeReader)), settings)
    Tokens(state / tokens.FILE).add("tech", [Role.TECHNICIAN])
    server = make_server(create_app(settings, ThreadReader(FakeReader)), settings)
    assert server.config.is_ssl
