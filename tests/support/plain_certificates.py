"""Certificates with no more in them than there has to be, as many a company's own.

They do not say whose key has signed them, and have no other name than their subject if none is
given.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import (
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    DNSName,
    Name,
    NameAttribute,
    NameOID,
    SubjectAlternativeName,
    random_serial_number,
)


class Signed(NamedTuple):
    key: ec.EllipticCurvePrivateKey
    certificate: Certificate

    def write(self, path: Path) -> Path:
        """Both, the key first."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + self.certificate.public_bytes(Encoding.PEM))
        return path


def authority(name: str) -> Signed:
    return _signed(name, None, ())


def issued(by: Signed, name: str, *hosts: str) -> Signed:
    return _signed(name, by, hosts)


def _signed(name: str, by: Signed | None, hosts: tuple[str, ...]) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    own = Name([NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signs = (own, key) if by is None else (by.certificate.subject, by.key)
    now = datetime.now(UTC)
    builder = (
        CertificateBuilder(issuer, own, key.public_key(), random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(BasicConstraints(ca=by is None, path_length=None), critical=by is None)
    )
    if hosts:
        builder = builder.add_extension(
            SubjectAlternativeName([DNSName(host) for host in hosts]), critical=False
        )
    return Signed(key, builder.sign(signs, SHA256()))
