"""dicom.toml: who may send, what is paired, where results go. Every error names the key and what
to write there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from stat import S_IMODE
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mammosono.appliance.node.admit import AdmissionRules
from mammosono.appliance.node.destinations import Destination, DestinationError, parse_all
from mammosono.appliance.node.pairing import Rules
from mammosono.appliance.security.exposure import is_loopback

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "dicom.toml"
_OTHERS = 0o077
MIB = 2**20


class ConfigError(ValueError):
    """dicom.toml cannot be used. `str(error)` is one line: the key, and the remedy."""


def _ae_title(text: str) -> str:
    title = text.strip(" ")
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError("give 1 to 16 letters, digits, dashes and underscores")
    return title


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("give the number of an address, as 10.0.0.5") from None


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Address = Annotated[str, AfterValidator(_address)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Sender(_Table):
    """issuer: of its patients' IDs, where a file does not say."""

    ae_title: AeTitle
    address: Address
    issuer: str = Field(default="", max_length=64)


class Tls(_Table):
    """mode: auto makes a key and a certificate, given takes those that are named. client_ca: who
    signs those who may speak to the node."""

    mode: Literal["auto", "given"] = "auto"
    client_ca: str
    key: str | None = None
    certificate: str | None = None
    names: tuple[str, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _together(self) -> Tls:
        if (self.mode == "given") != (self.key is not None and self.certificate is not None):
            raise ValueError('mode = "given" goes with key and certificate, and they with it')
        return self


class Pair(_Table):
    by: Literal["patient", "breast"] = "patient"
    window_days: int = Field(default=60, ge=0, le=3650)
    quiet_s: float = Field(default=60.0, ge=1, le=86_400)
    gather_max_s: float = Field(default=1800.0, ge=1, le=864_000)
    report_alone: bool = False
    max_images: int = Field(default=24, ge=1, le=24)


class Keep(_Table):
    held_days: int = Field(default=60, ge=1, le=3650)
    results_days: int = Field(default=30, ge=1, le=3650)
    min_free_bytes: int = Field(default=2_000_000_000, ge=0)


class Accept(_Table):
    """What is read beside For Presentation mammograms and B-mode stills."""

    secondary_capture: bool = False
    implants: bool = True
    specimens: bool = False


class Box(_Table):
    """The appliance that reads. token_file: of a workstation's token."""

    url: str = "http://127.0.0.1:8000"
    token_file: str | None = None
    ca: str | None = None


class NodeConfig(_Table):
    """dicom.toml, checked. Paths in it are taken against the folder that it lies in."""

    ae_title: AeTitle = "MAMMOSONO"
    listen: Address = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535)
    plain_network: bool = False
    max_associations: int = Field(default=16, ge=1, le=256)
    connections_per_address: int = Field(default=4, ge=1, le=256)
    memory_mib: int = Field(default=1024, ge=256)
    metrics_file: str | None = None
    tls: Tls | None = None
    sender: tuple[Sender, ...] = Field(default=(), strict=False)
    pair: Pair = Pair()
    keep: Keep = Keep()
    accept: Accept = Accept()
    box: Box = Box()
    folder: Path = Field(default=Path(), exclude=True)
    destinations: tuple[Destination, ...] = Field(default=(), exclude=True)

    @field_validator("sender")
    @classmethod
    def _each_once(cls, senders: tuple[Sender, ...]) -> tuple[Sender, ...]:
        named = [(each.ae_title, each.address) for each in senders]
        if len(set(named)) < len(named):
            raise ValueError("two senders have one ae_title and address; leave one of them")
        return senders

    @model_validator(mode="after")
    def _protected(self) -> NodeConfig:
        if not is_loopback(self.listen) and self.tls is None and not self.plain_network:
            raise ValueError(
                f"listen = {self.listen} is reached from the network without TLS; add a table "
                "[tls], or plain_network = true in a network that is trusted"
            )
        if self.keep.held_days < self.pair.window_days:
            raise ValueError(
                "keep.held_days is shorter than pair.window_days; a partner would find nothing"
            )
        return self

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def rules(self) -> Rules:
        pair = self.pair
        return Rules(
            by=pair.by,
            window_days=pair.window_days,
            quiet_s=pair.quiet_s,
            gather_max_s=pair.gather_max_s,
            report_alone=pair.report_alone,
            max_images=pair.max_images,
            held_days=self.keep.held_days,
        )

    @property
    def admission(self) -> AdmissionRules:
        return AdmissionRules(**self.accept.model_dump())


def load(file: Path) -> NodeConfig:
    """The file's settings. Raises ConfigError."""
    try:
        if S_IMODE(file.stat().st_mode) & _OTHERS:
            raise ConfigError(f"others may read {FILE} or change it; run: chmod 600 {file}")
        tables = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {file}; docs/technician.md has one to begin with") from None
    except OSError as error:
        raise ConfigError(f"{FILE} cannot be read: {error.strerror}") from None
    except ValueError as error:  # UnicodeDecodeError, TOMLDecodeError
        raise ConfigError(f"{FILE} is no TOML: {error}") from None
    return parse(tables, file.parent)


def parse(tables: Mapping[str, Any], folder: Path) -> NodeConfig:
    """As `load`, of what the file holds."""
    own = {key: value for key, value in tables.items() if key != "destination"}
    for reserved in ("folder", "destinations"):
        if reserved in own:
            raise ConfigError(f"{FILE}: {reserved} has no meaning; take it out")
    try:
        config = NodeConfig.model_validate(own)
        return config.model_copy(
            update={
                "folder": folder,
                "destinations": parse_all(
                    tables.get("destination", []), calling=config.ae_title, folder=folder
                ),
            }
        )
    except DestinationError as error:
        raise ConfigError(f"{FILE}: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{FILE}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first of what is wrong, in words."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
    if first["type"] == "extra_forbidden":
        return f"{key} has no meaning; take it out, or look for a letter that is wrong"
    if first["type"] == "missing":
        return f"{key} is missing; add it"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
