"""A file for Kafka's own tools, read as Java reads it, in the names of our settings."""

from pathlib import Path

import pytest

from penstock import settings
from penstock.cli.connecting import Way
from penstock.errors import ConfigurationError
from penstock.kafka.java_properties import Connection, parse, read
from penstock.local.properties import as_text

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "client.properties"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a=b", {"a": "b"}),
        ("  a \t: \tb c ", {"a": "b c "}),
        ("a b=c", {"a": "b=c"}),
        ("a==b", {"a": "=b"}),
        ("# a=b\n ! c=d\n\ne", {"e": ""}),
        ("a = b \\\n   c \\\r\n\td", {"a": "b c d"}),
        ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
        ("a\\ b\\=c=d\\te\\u00e9\\q", {"a b=c": "d\teéq"}),
        ("a=b\\\n#c", {"a": "b#c"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=\x0bb", {"a": "\x0bb"}),
    ],
)
def test_the_syntax_is_that_of_java(text: str, says: dict[str, str]) -> None:
    assert parse(text) == says


def test_what_we_write_ourselves_is_read_by_java_as_it_was_meant() -> None:
    """Java reads Latin-1: a user's home may have other letters in its name."""
    text = as_text({"log.dirs": "/home/müller/Źródła", "ssl.truststore.location": "C:\\ca.pem"})
    assert text.isascii()
    assert parse(text) == {
        "log.dirs": "/home/müller/Źródła",
        "ssl.truststore.location": "C:/ca.pem",
    }


def test_blanks_at_the_end_of_a_line_are_nothing(file: Path) -> None:
    """For Java's clients, though not for `java.util.Properties`."""
    file.write_text("security.protocol=SSL \t\r\nssl.truststore.type = PEM \n")
    assert read(file).client == {"security.protocol": "SSL"}


def test_a_cluster_with_a_password(file: Path) -> None:
    file.write_text(
        f"""# from the platform team
bootstrap.servers = one:9093,two:9093
group.id: answers
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config={SCRAM} required \\
    username="ann" \\
    password="s3\\\\"cr=et;";
ssl.truststore.type=PEM
ssl.truststore.location=/etc/kafka/ca.pem
ssl.endpoint.identification.algorithm=
"""
    )
    assert read(file) == Connection(
        "one:9093,two:9093",
        "answers",
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "ann",
            "sasl.password": 's3"cr=et;',
            "ssl.ca.location": "/etc/kafka/ca.pem",
            "ssl.endpoint.identification.algorithm": "none",
        },
        [],
    )


def test_what_is_not_about_the_connection_is_left_out_and_told(file: Path) -> None:
    file.write_text("acks=all\nsecurity.protocol=SSL\nsession.timeout.ms=45000\n")
    connection = read(file)
    assert connection.client == {"security.protocol": "SSL"}
    assert connection.left_out == ["acks", "session.timeout.ms"]


def test_a_certificate_of_ones_own_in_a_file_and_as_text(file: Path) -> None:
    file.write_text("ssl.keystore.type=PEM\nssl.keystore.location=me.pem\nssl.key.password=x")
    assert read(file).client == {
        "ssl.certificate.location": "me.pem",
        "ssl.key.location": "me.pem",
        "ssl.key.password": "x",
    }
    file.write_text(
        "ssl.keystore.type=PEM\nssl.keystore.certificate.chain=CHAIN\nssl.keystore.key=KEY\n"
        "ssl.truststore.type=PEM\nssl.truststore.certificates=CA"
    )
    assert read(file).client == {
        "ssl.certificate.pem": "CHAIN",
        "ssl.key.pem": "KEY",
        "ssl.ca.pem": "CA",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("security.protocl=SSL", r"'security\.protocl'; did you mean 'security\.protocol'\?"),
        ("asks=all", r"'asks'; .*only what is needed to connect is read"),
        ("sasl.jaas.config=s3cret", r"sasl\.jaas\.config is not a login module"),
        (f'sasl.jaas.config={PLAIN} required username="a" password="s3cret"', "a semicolon"),
        ("sasl.jaas.config=com.example.Login required;", r"com\.example\.Login is none of"),
        (f'sasl.jaas.config={PLAIN} required user_a="s3cret";', "unknown name 'user_a'"),
        (
            f"sasl.jaas.config={OAUTH} required;",
            r"set sasl\.oauth\.provider in KAFKA__CLIENT",
        ),
        (
            "ssl.truststore.location=trust.jks\nssl.truststore.password=s3cret",
            r"ssl\.truststore\.type JKS, Java's default: .*keytool -list -rfc -keystore trust\.jks",
        ),
        (
            "ssl.keystore.type=PKCS12\nssl.keystore.location=my key.p12",
            r"ssl\.keystore\.type PKCS12: .* 'my key\.p12' .*openssl pkcs12",
        ),
        ("ssl.truststore.type=PEM\nssl.truststore.password=s3cret", "a PEM file has none"),
    ],
)
def test_what_cannot_be_used_is_one_line(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=says) as caught:
        read(file)
    assert str(caught.value).startswith(f"--command-config {file}: ")
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"client\.properties: No such file"):
        read(file)


def test_flags_come_before_the_file_and_the_file_before_the_settings(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("penstock.toml").write_text(
        '[kafka.client]\n"sasl.password" = "toml"\nssl.ca.pem = "CA"\n'
    )
    monkeypatch.setenv("PENSTOCK_KAFKA__CLIENT__SASL_PASSWORD", "environment")
    monkeypatch.setenv("PENSTOCK_KAFKA__BOOTSTRAP_SERVERS", "environment:1")
    file.write_text(
        "bootstrap.servers=file:1\ngroup.id=file\n"
        f'sasl.jaas.config={PLAIN} required username="ann" password="file";'
    )
    kafka = settings.load(kafka=Way(None, file).flags()).kafka
    assert (kafka.bootstrap_servers, kafka.group_id) == ("file:1", "file")
    assert kafka.client == {
        "sasl.username": "ann",
        "sasl.password": "file",
        "ssl.ca.pem": "CA",
    }
    way = Way("flag:1", file)
    assert settings.load(kafka=way.flags()).kafka.bootstrap_servers == "flag:1"
    assert way.words == ("-b", "flag:1", "--command-config", str(file))
    assert settings.load(kafka=Way().flags()).kafka.client["sasl.password"] == "environment"


def test_a_command_that_is_printed_has_no_secrets() -> None:
    options = ["sasl.username=ann", "sasl.password=who=knows", "ssl.ca.location=/ca.pem"]
    assert Way(options=options).words == (
        *("-X", "sasl.username=ann"),
        *("-X", "sasl.password=**********"),
        *("-X", "ssl.ca.location=/ca.pem"),
    )
