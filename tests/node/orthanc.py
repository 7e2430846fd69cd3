"""Counterparts of the node: Orthanc as PACS, dcmtk's storescp, certificates, objects to send."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

INSTALL = "apt-get install --no-install-recommends orthanc orthanc-dicomweb dcmtk"
PLUGINS = Path("/usr/share/orthanc/plugins")
START_S = 60.0


def missing() -> str:
    """What must be installed first; empty if all is there."""
    if shutil.which("Orthanc") is None:
        return f"Orthanc is not installed: {INSTALL}"
    if not (PLUGINS / "libOrthancDicomWeb.so").exists():
        return f"Orthanc's DICOMweb plugin is not installed: {INSTALL}"
    return ""


def free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return int(any_socket.getsockname()[1])


@dataclass(frozen=True)
class Orthanc:
    """One that runs. url: of its REST interface."""

    process: subprocess.Popen[bytes]
    port: int
    url: str

    @property
    def dicom_web(self) -> str:
        return f"{self.url}/dicom-web"

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=60).raise_for_status().json()

    def bytes(self, path: str) -> bytes:
        return httpx.get(self.url + path, timeout=60).raise_for_status().content

    def post(self, path: str, body: str) -> Any:
        return httpx.post(self.url + path, content=body, timeout=60).raise_for_status().json()

    def delete(self, path: str) -> None:
        httpx.delete(self.url + path, timeout=60).raise_for_status()

    def instances(self) -> int:
        return int(self.get("/statistics")["CountInstances"])

    def uids(self) -> set[str]:
        """SOP Instance UIDs of all that it has."""
        found = self.get("/instances?expand")
        return {each["MainDicomTags"]["SOPInstanceUID"] for each in found}


@contextlib.contextmanager
def orthanc(
    folder: Path,
    *,
    box_port: int,
    port: int | None = None,
    http_port: int | None = None,
    more: Mapping[str, Any] | None = None,
) -> Iterator[Orthanc]:
    """An Orthanc of its own folder, ports and configuration. box_port: where the node listens for
    its answers."""
    port, http_port = port or free_port(), http_port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = {
        "Name": "mammosono",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomAet": "PACS",
        "DicomPort": port,
        "DicomCheckCalledAet": True,
        "DicomModalities": {
            "box": {
                "AET": "MAMMOSONO",
                "Host": "127.0.0.1",
                "Port": box_port,
                "AllowStorageCommitment": True,
            }
        },
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGINS / "libOrthancDicomWeb.so")],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "OverwriteInstances": False,
        **(more or {}),
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(file)], stdout=log, stderr=log)
    try:
        running = Orthanc(process, port, f"http://127.0.0.1:{http_port}")
        _wait(running, folder / "log")
        yield running
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(running: Orthanc, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and running.process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            running.get("/system")
            return
        time.sleep(0.1)
    raise RuntimeError(f"Orthanc does not start:\n{log.read_text()[-2000:]}")


@dataclass(frozen=True)
class Receiver:
    """A storescp that runs. folder: where files arrive."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    def uids(self) -> list[str]:
        return [dcmread(file).SOPInstanceUID for file in sorted(self.folder.iterdir())]


@contextlib.contextmanager
def storescp(folder: Path, *options: str, port: int | None = None) -> Iterator[Receiver]:
    """dcmtk's receiver."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        ["storescp", *options, "--output-directory", str(folder), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TCP_NODELAY": "1"},
    )
    try:
        wait_for_port(port)
        yield Receiver(process, port, folder)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@contextlib.contextmanager
def frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """It keeps its connections and does nothing."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def wait_for_port(port: int, most_s: float = 30.0) -> None:
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens at port {port}")


def capture(
    number: int, *, study: str = "1", size: int = 16, pixels: np.ndarray | None = None
) -> Dataset:
    """A Secondary Capture of an invented patient. size: its sides in pixels, where pixels, uint8
    (height, width), are not given. The same arguments make the same UIDs."""
    if pixels is None:
        pixels = np.full((size, size), number % 256, np.uint8)
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["capture", study, str(number)])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", study])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", study])
    dataset.PatientName, dataset.PatientID = "Vogelweide^Uta", "7766554433"
    dataset.PatientBirthDate, dataset.PatientSex = "19610203", "F"
    dataset.StudyDate, dataset.StudyTime = "20261101", "101500"
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.Modality, dataset.ConversionType = "OT", "WSD"
    dataset.SeriesNumber, dataset.InstanceNumber = 9001, number
    dataset.PatientOrientation, dataset.Laterality = None, ""
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


@dataclass(frozen=True)
class Pair:
    """PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A signer of certificates."""

    certificate: Path
    _key: ec.EllipticCurvePrivateKey
    _name: x509.Name

    @staticmethod
    def made(folder: Path, name: str = "signer") -> Authority:
        folder.mkdir(parents=True, exist_ok=True)
        key, subject = ec.generate_private_key(ec.SECP256R1()), _named(name)
        now = datetime.now(timezone.utc)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=400))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        file = folder / f"{name}.pem"
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return Authority(file, key, subject)

    def issue(
        self, folder: Path, name: str, *, host: str = "localhost", days: tuple[int, int] = (-1, 90)
    ) -> Pair:
        """days: from and to which day from now it is valid."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
        made = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        pair.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair


def tls_options(pair: Pair, signer: Authority) -> tuple[str, ...]:
    """Of storescp, to ask for a certificate of this signer."""
    return (
        *("--enable-tls", str(pair.key), str(pair.certificate)),
        *("--add-cert-file", str(signer.certificate), "--require-peer-cert"),
        "--profile-bcp195-nd",
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
