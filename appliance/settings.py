"""Settings of the service, with defaults; read from MAMMOSONO_* in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from mammosono.appliance.telemetry.logs import LogFormat
from mammosono.engines.options import EngineOptions

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Settings for an operator. A name in the environment is the field's, upper case, prefixed:

    `MAMMOSONO_PORT=8001`. A value that does not fit is refused at start with the field's name.
    """

    model_config = SettingsConfigDict(env_prefix="MAMMOSONO_", frozen=True, extra="ignore")

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; 0.0.0.0 opens the service to the network.",
    )
    port: int = Field(
        default=8000, ge=0, le=65535, description="TCP port; 0 lets the system choose a free one."
    )
    tls: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="auto: HTTPS where the network reaches the service, plain HTTP on 127.0.0.1.",
    )
    tls_names: str | None = Field(
        default=None,
        description="Further names and addresses in the certificate that the service makes, with "
        "commas between them; it knows its own.",
    )
    tls_key: Path | None = Field(
        default=None, description="Private key, PEM, in place of the one that the service makes."
    )
    tls_certificate: Path | None = Field(
        default=None, description="Certificate of that key, followed by its chain, PEM."
    )
    tls_client_ca: Path | None = Field(
        default=None,
        description="Certificates of those who sign clients, PEM; given, a client must show one "
        "of theirs, beside its token.",
    )
    expose: Literal["without-tokens", "without-tls", "without-tokens-and-tls"] | None = Field(
        default=None,
        description="What the service may lack when the network reaches it; unset, nothing.",
    )
    log_format: LogFormat = Field(
        default="text", description="Log lines for people, text, or for machines, json."
    )
    bundle: Path | None = Field(
        default=None, description="Folder of the model bundle; unset, the bundle shipped here."
    )
    bundle_sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the one bundle that may be opened, as doctor says it; unset, any.",
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of the network; unset, one for each core."
    )
    runtime: Literal["auto", "tensorrt", "onnxruntime"] = Field(
        default="auto",
        description="tensorrt, onnxruntime, or auto: TensorRT where its module is installed.",
    )
    plans: Path | None = Field(
        default=None,
        description="Folder of the TensorRT plans built on this device; unset, `plans` in the "
        "bundle's folder.",
    )
    variant: str | None = Field(
        default=None,
        description="Variant of the bundle's graphs for onnxruntime to run, as mixed; unset, its "
        "own graphs.",
    )
    worker_python: Path | None = Field(
        default=None,
        description="Python that runs the engine in a process of its own, as /usr/bin/python3.6 on "
        "the Jetson Nano; unset, the engine runs in the service's process.",
    )
    run_deadline_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds after which a worker that computes one stage is killed as hung.",
    )
    max_images: int = Field(
        default=24, ge=1, le=200, description="Images of a modality that a study may hold."
    )
    max_body_bytes: int | None = Field(
        default=None,
        ge=1,
        description="Largest request body, which goes to the disk as it comes; unset, 32 MiB for "
        "each of max_images: an uncompressed digital mammogram and an ultrasound image.",
    )
    connection_share: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="Share that one address, of IPv6 one /64, may hold of the connections that the "
        "others leave, of 512 or as many as the process may open files for; 1 behind a reverse "
        "proxy, which has one address for all its clients and should bound theirs itself.",
    )
    max_uploads: int = Field(
        default=4,
        ge=1,
        description="Request bodies received at the same time, of one client half of those that "
        "the others leave; further ones are made to wait.",
    )
    upload_s: float = Field(
        default=120.0, gt=0, description="Seconds a client has to send its whole request body."
    )
    queue_length: int = Field(
        default=32, ge=1, description="Studies that may wait to be read; one more is answered 429."
    )
    study_deadline_s: float = Field(
        default=180.0,
        gt=0,
        description="Seconds after which the reader is killed as hung over a study of up to eight "
        "images; over a larger one in proportion.",
    )
    reader_memory_bytes: int | None = Field(
        default=3072 * MIB,
        ge=256 * MIB,
        description="Data memory of the reader process; a study that needs more is refused.",
    )
    wait_s: float = Field(
        default=30.0,
        ge=0,
        description="Seconds POST /v1/studies waits for the result, where the request has no wait.",
    )
    max_wait_s: float = Field(
        default=300.0, ge=0, description="Longest wait a client may ask for; more is cut to this."
    )
    state: Path | None = Field(
        default=None,
        description="Folder of all that outlives a restart: spool, tokens, TLS, audit log; unset, "
        "/var/lib/mammosono if that is writable, else .local/state/mammosono of the user.",
    )
    max_age_days: float = Field(
        default=30.0, gt=0, description="Days a study is kept after it was read."
    )
    min_free_bytes: int = Field(
        default=512 * MIB,
        ge=0,
        description="Room left on the disk: below it the oldest read studies go, and when none is "
        "left no study is taken.",
    )

    def state_folder(self) -> Path:
        if self.state is not None:
            return self.state
        system = Path("/var/lib/mammosono")
        if os.access(system, os.W_OK):
            return system
        return Path.home() / ".local" / "state" / "mammosono"

    def body_bytes(self) -> int:
        """Of the largest request body."""
        return 32 * MIB * self.max_images if self.max_body_bytes is None else self.max_body_bytes

    def engine(self) -> EngineOptions:
        """How and where the network is computed; each of its options is a setting."""
        texts = {name: getattr(self, name) for name in ("plans", "worker_python")}
        values = {name: getattr(self, name) for name in EngineOptions._fields} | {
            name: str(path) if path else None for name, path in texts.items()
        }
        return EngineOptions(**values)
