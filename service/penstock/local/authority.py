"""Whose word makes the certificates of a Kafka of one's own good? An authority made on the fly."""

from datetime import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Authority:
    """Its own key is in memory alone: when it is gone, nobody can issue in its name."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def write(self, path: Path) -> Path:
        """Its certificate, as PEM: what a client has to trust."""
        self._ca.cert_pem.write_to_path(str(path))
        return path

    def issue(
        self,
        path: Path,
        *names: str,
        common_name: str | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Path:
        """A key and a certificate for these host names and addresses, in one PEM file.

        The key is in PKCS#8, the only form that Kafka reads, and comes first. Nobody else may
        read the file.
        """
        issued = self._ca.issue_cert(
            *names, common_name=common_name, not_before=not_before, not_after=not_after
        )
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        )
        return path
