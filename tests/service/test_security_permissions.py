"""What other users of the machine may read or change: nothing, or it is said."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from service_bench import FakeReader, running, study, until

from mammosono.appliance.doctor import protection
from mammosono.appliance.doctor.check_result import State
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.security import audit, tls, tokens
from mammosono.appliance.security.audit import AuditLog
from mammosono.appliance.security.permissions import exposed
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import Tokens
from mammosono.appliance.settings import Settings


@pytest.fixture
def lax() -> Iterator[None]:
    """A umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.mark.usefixtures("lax")
def test_all_that_the_service_writes_is_nobody_else_s(state: Path) -> None:
    secret = Tokens(state / tokens.FILE).add("ward", [Role.WORKSTATION])
    bearing = {"Authorization": f"Bearer {secret}"}
    with running(FakeReader(), state=state) as client:
        posted = client.post("/v1/studies", headers=bearing, **study(data={"study_id": "a"}))
        assert posted.status_code == 200
        picture = "/v1/studies/a/images/0/mask.png"
        until(lambda: client.get(picture, headers=bearing).status_code == 200)
        tls.server_context(Settings(state=state, tls="on"))
        found = {path.relative_to(state): stat.S_IMODE(path.stat().st_mode) for path in tree(state)}
        names = {path.name for path in found}
        assert names >= {"studies.db", "studies.db-wal", "mask_0.png", "uploads", "audit.jsonl"}
        assert sum(path.parts[:2] == ("spool", "uploads") for path in found) >= 5
    assert {str(path): oct(mode) for path, mode in found.items() if mode & 0o077} == {}
    assert exposed(Settings(state=state)) == []


def tree(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


LOOSE = {
    "state": ("", 0o755, "the state folder (755)"),
    "spool": ("spool", 0o770, "spool (770)"),
    "database": ("spool/studies.db", 0o666, "spool/studies.db (666)"),
    "database for a group": ("spool/studies.db", 0o640, "spool/studies.db (640)"),
    "incoming": ("spool/incoming", 0o711, "spool/incoming (711)"),
    "tokens": ("tokens.json", 0o644, "tokens.json (644)"),
    "audit": ("audit.jsonl", 0o620, "audit.jsonl (620)"),
    "record": ("record/audit.json", 0o604, "record/audit.json (604)"),
    "own key": ("tls/key.pem", 0o644, "tls/key.pem (644)"),
    "given key": ("given", 0o644, "MAMMOSONO_TLS_KEY (644)"),
}


@pytest.mark.parametrize(("name", "mode", "said"), LOOSE.values(), ids=LOOSE)
def test_what_others_may_read_or_change_is_said_at_the_start_and_by_doctor(
    state: Path, tmp_path: Path, name: str, mode: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = certificate(tmp_path / "given.pem")
    shutil.move(given.key, tmp_path / "given")
    settings = {
        "state": state,
        "tls_key": tmp_path / "given",
        "tls_certificate": given.certificate,
        "tls": "off",
    }
    Tokens(state / tokens.FILE).add("tech", [Role.TECHNICIAN])
    tls.self_made(state / "tls", [])
    with running(FakeReader(), **settings):
        pass
    assert "others may" not in caplog.text
    assert protection.permissions(Settings(**settings)).state is State.OK
    (tmp_path / "given" if name == "given" else state / name).chmod(mode)
    line = protection.permissions(Settings(**settings))
    with running(FakeReader(), **settings):
        pass
    assert said in caplog.text
    assert f"chmod -R go= {state}" in caplog.text
    assert line.state is State.WARN
    assert said in line.observation
    assert "chmod -R go=" in line.remedy
    subprocess.run(["sh", "-c", line.remedy], check=True)
    assert protection.permissions(Settings(**settings)).state is State.OK


# -- given certificates


def certificate(file: Path, *, begin: float = -1, end: float = 1) -> tls.Identity:
    """A key and its certificate, valid from `begin` to `end`, in days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begin))
        .not_valid_after(now + timedelta(days=end))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    identity = tls.Identity(file.with_suffix(".key"), file)
    identity.key.write_bytes(private)
    identity.key.chmod(0o600)
    identity.certificate.write_bytes(made.public_bytes(pem))
    return identity


SPANS = {
    "holds": (-1, 1, None),
    "expired": (-9, -1, "expired on"),
    "not yet valid": (1, 9, "is not valid before"),
}


@pytest.mark.parametrize("role", ["own", "chain", "clients"])
@pytest.mark.parametrize(("begin", "end", "said"), SPANS.values(), ids=SPANS)
def test_a_given_certificate_that_does_not_hold_is_told_and_served(
    state: Path, tmp_path: Path, role: str, begin: int, end: int, said: str | None
) -> None:
    sound = certificate(tmp_path / "sound.pem")
    tried = certificate(tmp_path / "tried.pem", begin=begin, end=end)
    chosen = {"tls_key": sound.key, "tls_certificate": sound.certificate}
    if role == "own":
        chosen = {"tls_key": tried.key, "tls_certificate": tried.certificate}
    elif role == "chain":
        with sound.certificate.open("ab") as chain:
            chain.write(tried.certificate.read_bytes())
    else:
        chosen["tls_client_ca"] = tried.certificate
    settings = Settings(state=state, port=0, **chosen)
    line = protection.certificate(settings, Host(), used=True)
    assert line.state is (State.FAIL if said else State.OK)
    assert (said or "") in line.observation
    tls.server_context(settings)
    if role == "own":
        with served(settings) as log:
            until(lambda: "listening on" in log.read_text())
            assert "TLS certificate, SHA-256" in log.read_text()
            assert (said or "") in log.read_text()
            assert ("clients will refuse" in log.read_text()) == bool(said)


@contextmanager
def served(settings: Settings) -> Iterator[Path]:
    """`mammosono serve` in a process of its own; yields the file of its log."""
    log = settings.state_folder().parent / "log"
    given = {
        "MAMMOSONO_STATE": str(settings.state),
        "MAMMOSONO_PORT": "0",
        "MAMMOSONO_TLS_KEY": str(settings.tls_key),
        "MAMMOSONO_TLS_CERTIFICATE": str(settings.tls_certificate),
    }
    command = [sys.executable, "-c", "from mammosono.appliance.cli import main; main()", "serve"]
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, env=os.environ | given, stderr=errors, stdout=errors) as process,
    ):
        try:
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_a_file_that_is_no_certificate_is_told_by_doctor(state: Path, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    settings = Settings(state=state, tls_certificate=tmp_path / "none.pem")
    line = protection.certificate(settings, Host(), used=True)
    assert (line.state, line.remedy) == (State.FAIL, "give a PEM file")


def test_without_a_given_certificate_there_is_nothing_to_run_out(state: Path) -> None:
    assert protection.certificate(Settings(state=state), Host(), used=True).state is State.NOTE


# -- the doctor's other lines on who is kept out


def test_doctor_tells_of_tokens_that_are_lost_and_of_an_audit_log_that_was_cut(
    state: Path,
) -> None:
    settings = Settings(state=state)
    assert protection.tokens_(settings).state is State.NOTE
    assert protection.audit_log(settings).state is State.OK
    kept, log = Tokens(state / tokens.FILE), AuditLog(state / audit.FILE)
    kept.add("tech", [Role.TECHNICIAN])
    log.append({"n": 0})
    assert protection.tokens_(settings).state is State.OK
    assert protection.audit_log(settings).state is State.OK
    (state / tokens.FILE).unlink()
    (state / audit.FILE).unlink()
    for line, remedy in (
        (protection.tokens_(settings), "token forget"),
        (protection.audit_log(settings), "begin-anew"),
    ):
        assert line.state is State.FAIL
        assert remedy in line.remedy
