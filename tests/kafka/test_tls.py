"""Certificates: looked at before they are used, and again when their files change."""

import os
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import NameOID, load_der_x509_certificate
from structlog.testing import capture_logs

from penstock.errors import ConfigurationError
from penstock.kafka import tls
from penstock.kafka.security import client_arguments
from penstock.local.authority import Authority
from tests.support.plain_certificates import authority, issued

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


class Files:
    """Keys and certificates of `ann`, `bob` and of a broker called `kafka`, and `ca`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.authority.write(folder / "ca.pem")
        for name in ("kafka", "ann", "bob"):
            self.authority.issue(folder / f"{name}.pem", name, common_name=name)

    def __getitem__(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def text(self, name: str) -> str:
        return Path(self[name]).read_text()

    def client(self, **more: str) -> dict[str, str]:
        said = {name.replace("_", "."): value for name, value in more.items()}
        return {"security.protocol": "SSL", "ssl.ca.location": self["ca"], **said}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def key_of(pem: str) -> str:
    return pem[: pem.index("-----BEGIN CERTIFICATE")]


def certificate_of(pem: str) -> str:
    return pem[pem.index("-----BEGIN CERTIFICATE") :]


def encrypted(pem: str, password: bytes) -> str:
    key = load_pem_private_key(key_of(pem).encode(), None)
    how = BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


def context_of(client: dict[str, str]) -> ssl.SSLContext:
    context: ssl.SSLContext = client_arguments("kafka:9092", client)["ssl_context"]
    return context


def name_in(der: bytes) -> str:
    [name] = load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def shown(files: Files, context: ssl.SSLContext) -> str:
    """The name that a broker sees in the certificate of a new connection."""
    broker = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["ca"])
    broker.verify_mode = ssl.CERT_REQUIRED
    broker.load_cert_chain(files["kafka"])
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(here, there, server_hostname="kafka")
    server = broker.wrap_bio(there, here, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    der = server.getpeercert(binary_form=True)
    assert der is not None
    return name_in(der)


def test_a_key_and_a_certificate_in_one_file_or_in_two(files: Files) -> None:
    both = files.client(ssl_certificate_location=files["ann"])
    assert shown(files, context_of(both)) == "ann"
    key, certificate = files.folder / "ann.key", files.folder / "ann.crt"
    key.write_text(encrypted(files.text("ann"), b"s3cret"))
    certificate.write_text(certificate_of(files.text("ann")))
    apart = files.client(
        ssl_certificate_location=str(certificate),
        ssl_key_location=str(key),
        ssl_key_password="s3cret",
    )
    assert shown(files, context_of(apart)) == "ann"


@pytest.mark.parametrize("joint", ["\n", " ", "\\n"])
def test_pem_as_text_may_have_lost_its_line_ends(files: Files, joint: str) -> None:
    def on_a_line(pem: str) -> str:
        return pem.strip().replace("\n", joint)

    client = {
        "security.protocol": "SSL",
        "ssl.ca.pem": on_a_line(files.text("ca")),
        "ssl.certificate.pem": on_a_line(certificate_of(files.text("ann"))),
        "ssl.key.pem": on_a_line(key_of(files.text("ann"))),
    }
    assert shown(files, context_of(client)) == "ann"


def test_the_name_of_the_broker_is_looked_at_unless_that_is_taken_back(files: Files) -> None:
    def meets(context: ssl.SSLContext) -> None:
        broker = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        broker.load_cert_chain(files["bob"])
        there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(here, there, server_hostname="kafka")
        server = broker.wrap_bio(there, here, server_side=True)
        for side in (client, server, client):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue

    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        meets(context_of(files.client()))
    meets(context_of(files.client(ssl_endpoint_identification_algorithm="none")))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"ssl_ca_location": "gone"}, r"ssl\.ca\.location \S+gone\.pem: No such file"),
        ({"ssl_ca_location": "junk"}, r"ssl\.ca\.location \S+junk\.pem: there is no certificate"),
        ({"ssl_ca_location": "past-ca"}, r"past-ca\.pem: expired at \d{4}-\d\d-\d\d "),
        ({"ssl_certificate_location": "past"}, r"certificate\.location \S+past\.pem: expired at "),
        ({"ssl_certificate_location": "soon"}, r"soon\.pem: is not valid before "),
        ({"ssl_certificate_location": "ann.crt"}, r"ann\.crt\.pem: there is no private key in it"),
        (
            {"ssl_certificate_location": "ann", "ssl_key_location": "bob"},
            r"key\.location \S+bob\.pem: it is not the key of ssl\.certificate\.location \S+ann",
        ),
        (
            {"ssl_certificate_location": "ann", "ssl_key_location": "locked"},
            r"ssl\.key\.location \S+locked\.pem: needs ssl\.key\.password",
        ),
        (
            {
                "ssl_certificate_location": "ann",
                "ssl_key_location": "locked",
                "ssl_key_password": "wr0ng",
            },
            r"ssl\.key\.location \S+locked\.pem: ssl\.key\.password is wrong",
        ),
        ({"ssl_key_location": "ann"}, r"is of no use without ssl\.certificate\.location"),
        ({"ssl_ca_pem": "text"}, r"ssl\.ca\.location and ssl\.ca\.pem say the same"),
        ({"ssl_endpoint_identification_algorithm": "http"}, "'http' is none of https, none"),
    ],
)
def test_a_file_that_cannot_work_is_named(files: Files, said: dict[str, str], says: str) -> None:
    folder, authority = files.folder, files.authority
    (folder / "junk.pem").write_text("junk")
    authority.issue(folder / "past.pem", "x", not_after=YESTERDAY)
    authority.issue(folder / "soon.pem", "x", not_before=datetime.now(UTC) + timedelta(days=1))
    (folder / "past-ca.pem").write_text(certificate_of(files.text("past")))
    (folder / "ann.crt.pem").write_text(certificate_of(files.text("ann")))
    (folder / "locked.pem").write_text(encrypted(files.text("ann"), b"s3cret"))
    named = {
        name: files[value] if name.endswith("_location") else value for name, value in said.items()
    }
    with pytest.raises(ConfigurationError, match=says) as caught:
        context_of(files.client(**named))
    assert "\n" not in str(caught.value)
    assert "wr0ng" not in str(caught.value)


def test_a_bundle_may_have_a_ca_in_it_that_has_had_its_day(files: Files) -> None:
    files.authority.issue(files.folder / "past.pem", "x", not_after=YESTERDAY)
    bundle = files.folder / "bundle.pem"
    bundle.write_text(certificate_of(files.text("past")) + files.text("ca"))
    said = files.client(ssl_certificate_location=files["ann"], ssl_ca_location=str(bundle))
    assert shown(files, context_of(said)) == "ann"


def test_a_bundle_may_name_its_cas_in_any_language(files: Files) -> None:
    bundle = files.folder / "bundle.pem"
    bundle.write_text("# F\u0151tan\u00fas\u00edtv\u00e1ny\n" + files.text("ca"), encoding="utf-8")
    said = files.client(ssl_certificate_location=files["ann"], ssl_ca_location=str(bundle))
    assert shown(files, context_of(said)) == "ann"


def test_an_intermediate_may_be_all_that_is_trusted(files: Files) -> None:
    """As in Java's truststore: the root of a company signs much more than its brokers."""
    between = trustme.CA().create_child_ca()
    trusted = files.folder / "between.pem"
    between.cert_pem.write_to_path(str(trusted))
    between.issue_cert("kafka").private_key_and_cert_chain_pem.write_to_path(files["kafka"])
    said = files.client(ssl_certificate_location=files["ann"], ssl_ca_location=str(trusted))
    assert shown(files, context_of(said)) == "ann"


def test_a_ca_of_an_older_kind_is_trusted_by_every_python(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many a company's own: its certificates do not say whose key has signed them."""
    plain = ssl.create_default_context

    def strict(*arguments: Any, **named: Any) -> ssl.SSLContext:
        """As Python has it since 3.13."""
        context = plain(*arguments, **named)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    old = authority("company")
    old.write(files.folder / "old.pem")
    issued(old, "broker", "kafka").write(files.folder / "kafka.pem")
    monkeypatch.setattr(ssl, "create_default_context", strict)
    said = files.client(ssl_certificate_location=files["ann"], ssl_ca_location=files["old"])
    context = context_of(said)
    monkeypatch.undo()
    assert shown(files, context) == "ann"


def test_text_without_a_place_for_files_is_one_line(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(files.folder / "nowhere"))
    with pytest.raises(ConfigurationError, match=r"ssl\.certificate\.pem: no file can be made"):
        context_of(files.client(ssl_certificate_pem=files.text("ann")))


def test_a_new_certificate_is_shown_at_the_next_connection(files: Files) -> None:
    me = files.folder / "me.pem"
    me.write_text(files.text("ann"))
    context = context_of(files.client(ssl_certificate_location=str(me)))
    assert shown(files, context) == "ann"
    me.write_text(files.text("bob"))
    assert shown(files, context) == "bob"
    # As Kubernetes does it: the name leads to another file of the same length and time.
    other = files.folder / "other.pem"
    other.write_text(files.text("ann"))
    was = me.stat()
    os.utime(other, ns=(was.st_atime_ns, was.st_mtime_ns))
    other.rename(me)
    assert shown(files, context) == "ann"


def test_what_cannot_be_used_yet_changes_nothing_and_is_told_once(files: Files) -> None:
    me = files.folder / "me.pem"
    me.write_text(files.text("ann"))
    context = context_of(files.client(ssl_certificate_location=str(me)))
    with capture_logs() as logs:
        me.write_text(files.text("bob")[:200])
        assert shown(files, context) == "ann"
        assert shown(files, context) == "ann"
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert len(warnings) == 1
    assert str(me) in warnings[0]["reason"]
    me.unlink()
    assert shown(files, context) == "ann"
    me.write_text(files.text("bob"))
    assert shown(files, context) == "bob"


def test_what_is_not_valid_yet_is_used_when_it_is(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of who issues it may be ahead of ours."""
    me = files.folder / "me.pem"
    me.write_text(files.text("ann"))
    context = context_of(files.client(ssl_certificate_location=str(me)))
    me.write_text(files.text("bob"))
    with monkeypatch.context() as patch:
        patch.setattr(tls, "Clock", lambda: SimpleNamespace(wall=lambda: 0.0))
        with capture_logs() as logs:
            assert shown(files, context) == "ann"
    assert "is not valid before" in logs[0]["reason"]
    assert shown(files, context) == "bob"


def test_a_new_ca_is_trusted_at_the_next_connection(files: Files) -> None:
    ca = files.folder / "trusted.pem"
    Authority().write(ca)
    said = files.client(ssl_ca_location=str(ca), ssl_certificate_location=files["ann"])
    context = context_of(said)
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(files, context)
    ca.write_text(files.text("ca"))
    assert shown(files, context) == "ann"
