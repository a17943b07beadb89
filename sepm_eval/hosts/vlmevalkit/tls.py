"""Keeps the verification of TLS certificates on when VLMEvalKit is imported."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def tls_verified() -> Iterator[None]:
    """Restore the verification of TLS certificates, which an import of VLMEvalKit turns off for the whole process."""
    former = ssl._create_default_https_context
    try:
        yield
    finally:
        if ssl._create_default_https_context is not former:
            ssl._create_default_https_context = former
            logger.warning("importing VLMEvalKit turned off the verification of TLS certificates; it is on again")
