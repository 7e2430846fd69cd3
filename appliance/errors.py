"""Errors of the appliance: one tree, and a stable code and an HTTP status for each leaf.

ApplianceError                    code, HTTP status, title; the message names the remedy
  IntakeError                     the posted bytes cannot be read as an image
    EmptyFile                     422 empty_file
    UnsupportedFormat             415 unsupported_format
    UnsupportedTransferSyntax     415 unsupported_transfer_syntax
    CorruptImage                  422 corrupt_image
    CorruptDicom                  422 corrupt_dicom
    UnsupportedDicom              422 unsupported_dicom
    MultiFrame                    422 multi_frame
    ImageTooSmall                 422 image_too_small
    ImageTooLarge                 422 image_too_large
    NoContent                     422 no_content
    ModalityMismatch              422 modality_mismatch
  StudyError                      the request as a whole cannot be accepted
    NoImages                      422 missing_modality
    TooManyImages                 422 too_many_files
    PatientsDiffer                422 patients_differ
    RepeatedImage                 422 repeated_image
    StudyConflict                 409 study_conflict
    ModalityNotRead               422 modality_not_read
    UnknownStudy                  404 unknown_study
    UnknownImage                  404 unknown_image
    StudyNotRead                  409 study_not_read
    BodyTooLarge                  413 body_too_large
    QueueFull                     429 queue_full
    MalformedRequest              400 malformed_request
    HeadersTooLarge               431 headers_too_large
    UploadTooSlow                 408 upload_timeout
    UnsupportedContentType        415 unsupported_content_type
    UnsupportedContentEncoding    415 unsupported_content_encoding
    UnknownPart                   422 unknown_part
    InvalidStudyId                422 invalid_study_id
    InvalidField                  422 invalid_field
    DeadlineExceeded              503 deadline_exceeded
  AccessError                     the client may not make this request
    Unauthorised                  401 unauthorised
    Forbidden                     403 forbidden
    TooManyAttempts               429 too_many_attempts
  ModelUnavailable                503 engine_unavailable
  ModelFault                      503 engine_fault
  ReaderLost                      503 reader_lost
  StorageError                    what is to be stored, or was, is not on the disk
    StorageFull                   507 storage_full
    StorageFailed                 503 storage_failed
    StorageDamaged                503 storage_damaged
"""

from __future__ import annotations

from typing import ClassVar


class ApplianceError(Exception):
    """A refusal with a stable code. `str(error)` is one line without identity or path."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The appliance failed"


class IntakeError(ApplianceError):
    """The posted bytes cannot be read as an image of the asked modality."""

    status = 422


class EmptyFile(IntakeError):
    code, title = "empty_file", "The file is empty"


class UnsupportedFormat(IntakeError):
    code, status, title = "unsupported_format", 415, "Not a PNG, JPEG, TIFF or DICOM file"


class UnsupportedTransferSyntax(IntakeError):
    code, status = "unsupported_transfer_syntax", 415
    title = "The DICOM transfer syntax is not supported"


class CorruptImage(IntakeError):
    code, title = "corrupt_image", "The image file is damaged"


class CorruptDicom(IntakeError):
    code, title = "corrupt_dicom", "The DICOM file is damaged"


class UnsupportedDicom(IntakeError):
    code, title = "unsupported_dicom", "This kind of DICOM object cannot be read"


class MultiFrame(IntakeError):
    code, title = "multi_frame", "The file holds more than one picture"


class ImageTooSmall(IntakeError):
    code, title = "image_too_small", "The image is too small"


class ImageTooLarge(IntakeError):
    code, title = "image_too_large", "The image is too large"


class NoContent(IntakeError):
    code, title = "no_content", "The image shows nothing"


class ModalityMismatch(IntakeError):
    code, title = "modality_mismatch", "The file is of another modality"


class StudyError(ApplianceError):
    """The request as a whole cannot be accepted."""

    status = 422


class NoImages(StudyError):
    code, title = "missing_modality", "The study holds no image"


class TooManyImages(StudyError):
    code, title = "too_many_files", "The study holds too many images"


class PatientsDiffer(StudyError):
    code, title = "patients_differ", "The images are of two patients"


class RepeatedImage(StudyError):
    code, title = "repeated_image", "The study holds an image twice"


class StudyConflict(StudyError):
    code, status, title = "study_conflict", 409, "The study id is taken by other images"


class UnknownStudy(StudyError):
    code, status, title = "unknown_study", 404, "There is no such study"


class UnknownImage(StudyError):
    code, status, title = "unknown_image", 404, "There is no such image in the study"


class StudyNotRead(StudyError):
    code, status, title = "study_not_read", 409, "The study has no pictures"


class ModalityNotRead(StudyError):
    """The bundle holds no network for such an image: never a reason for a "negative"."""

    code, title = "modality_not_read", "The model reads no images of this modality"


class BodyTooLarge(StudyError):
    code, status, title = "body_too_large", 413, "The request is too large"


class QueueFull(StudyError):
    """retry_after_s: whole seconds after which a place is likely to be free."""

    code, status, title = "queue_full", 429, "Too many studies are waiting"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MalformedRequest(StudyError):
    code, status, title = "malformed_request", 400, "The request is not well-formed"


class HeadersTooLarge(StudyError):
    code, status, title = "headers_too_large", 431, "The request's headers are too large"


class UploadTooSlow(StudyError):
    code, status, title = "upload_timeout", 408, "The request took too long to arrive"


class UnsupportedContentType(StudyError):
    code, status = "unsupported_content_type", 415
    title = "The request is not multipart/form-data"


class UnsupportedContentEncoding(StudyError):
    code, status = "unsupported_content_encoding", 415
    title = "The request body is compressed"


class UnknownPart(StudyError):
    code, title = "unknown_part", "The request holds a part that has no meaning here"


class InvalidStudyId(StudyError):
    code, title = "invalid_study_id", "The study id cannot be used"


class InvalidField(StudyError):
    code, title = "invalid_field", "A field of the form cannot be used"


class DeadlineExceeded(StudyError):
    code, status, title = "deadline_exceeded", 503, "The appliance did not answer in time"


class AccessError(ApplianceError):
    """The request may be sound, but not from this client."""


class Unauthorised(AccessError):
    code, status, title = "unauthorised", 401, "Nobody is known by this token"


class Forbidden(AccessError):
    code, status, title = "forbidden", 403, "This is not for this client"


class TooManyAttempts(AccessError):
    """retry_after_s: whole seconds after which a token is checked again."""

    code, status, title = "too_many_attempts", 429, "Too many tokens were wrong"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelUnavailable(ApplianceError):
    code, status, title = "engine_unavailable", 503, "The model cannot be run"


class ModelFault(ApplianceError):
    code, status, title = "engine_fault", 503, "The model gave an answer that cannot be trusted"


class ReaderLost(ApplianceError):
    """The process that read the study died or hung."""

    code, status, title = "reader_lost", 503, "The study could not be read to its end"


class StorageError(ApplianceError):
    """What is to be stored, or was, is not on the disk."""


class StorageFull(StorageError):
    code, status, title = "storage_full", 507, "There is no room for the study"


class StorageFailed(StorageError):
    code, status, title = "storage_failed", 503, "The disk cannot be written"


class StorageDamaged(StorageError):
    """Bytes on the disk are not those that were written; nothing is made of them."""

    code, status, title = "storage_damaged", 503, "What was stored has changed on the disk"
