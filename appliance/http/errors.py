"""What only HTTP can get wrong: leaves that the service adds to the tree of appliance.errors.

StudyError
  MalformedRequest            400 malformed_request
  HeadersTooLarge             431 headers_too_large
  UploadTooSlow               408 upload_timeout
  StudyNotRead                409 study_not_read
  UnsupportedContentType      415 unsupported_content_type
  UnsupportedContentEncoding  415 unsupported_content_encoding
  UnknownPart                 422 unknown_part
  InvalidStudyId              422 invalid_study_id
  UnknownImage                404 unknown_image
  DeadlineExceeded            503 deadline_exceeded
"""

from __future__ import annotations

from mammosono.appliance.errors import StudyError


class MalformedRequest(StudyError):
    code, status, title = "malformed_request", 400, "The request is not well-formed"


class HeadersTooLarge(StudyError):
    code, status, title = "headers_too_large", 431, "The request's headers are too large"


class UploadTooSlow(StudyError):
    code, status, title = "upload_timeout", 408, "The request took too long to arrive"


class StudyNotRead(StudyError):
    code, status, title = "study_not_read", 409, "The study has no pictures"


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


class UnknownImage(StudyError):
    code, status, title = "unknown_image", 404, "There is no such image in the study"


class DeadlineExceeded(StudyError):
    code, status, title = "deadline_exceeded", 503, "The box did not answer in time"
