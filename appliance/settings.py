"""Every knob of the service, each with its default; read from MAMMOSONO_* in the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """What an operator may set. A name in the environment is the field's, upper case, prefixed:

    `MAMMOSONO_PORT=8001`. A value that does not fit is refused at start with the field's name.
    """

    model_config = SettingsConfigDict(env_prefix="MAMMOSONO_", frozen=True, extra="ignore")

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; 0.0.0.0 opens the box to the network.",
    )
    port: int = Field(
        default=8000, ge=0, le=65535, description="TCP port; 0 lets the system choose a free one."
    )
    bundle: Path | None = Field(
        default=None, description="Folder of the model bundle; unset, the bundle shipped here."
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of the network; unset, one for each core."
    )
    max_body_bytes: int = Field(
        default=128 * MIB,
        ge=1,
        description="Largest request body; the default holds four uncompressed digital mammograms "
        "and four ultrasound images.",
    )
    max_uploads: int = Field(
        default=4,
        ge=1,
        description="Request bodies received at the same time; further clients are made to wait. "
        "With the queue this bounds the memory that uploads can take.",
    )
    upload_s: float = Field(
        default=120.0, gt=0, description="Seconds a client has to send its whole request body."
    )
    queue_length: int = Field(
        default=8, ge=1, description="Studies that may wait to be read; one more is answered 429."
    )
    wait_s: float = Field(
        default=30.0,
        ge=0,
        description="Seconds POST /v1/studies waits for the result, unless told.",
    )
    max_wait_s: float = Field(
        default=300.0, ge=0, description="Longest wait a client may ask for; more is cut to this."
    )
    kept_studies: int = Field(
        default=64,
        ge=1,
        description="Studies kept in memory after they were read; oldest go first.",
    )
    kept_bytes: int = Field(
        default=512 * MIB,
        ge=1,
        description="Memory their pictures may take; oldest go first, the newest always stays.",
    )
