"""The file of tokens: what it may say, and when it is read."""

import os
import re
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from penstock.cli import app
from penstock.errors import ConfigurationError
from penstock.gateway.tokens import LOOK_SECONDS, PREFIX, TokenFile, digest, new_token, read

ANA, BEN = "pst_ana", "pst_ben"
HASH = digest(ANA).hex()


def _table(name: str, token: str, more: str = "") -> str:
    return f'[{name}]\nsha256 = "{digest(token).hex()}"\n{more}\n'


def test_a_table_says_what_a_token_may(tmp_path: Path) -> None:
    more = 'programs = ["qa", "desk"]\nrequests_per_minute = 60\noperator = true'
    (tmp_path / "tokens.toml").write_text(_table("ana", ANA, more) + _table("ben", BEN))
    tokens = TokenFile(tmp_path / "tokens.toml")
    found = tokens.find(digest(ANA), 0.0)
    assert found is not None
    name, grant = found
    assert (name, grant.programs, grant.requests_per_minute) == ("ana", ["qa", "desk"], 60)
    assert grant.operator
    found = tokens.find(digest(BEN), 0.0)
    assert found is not None
    assert (found[0], found[1].programs, found[1].operator) == ("ben", None, False)
    assert tokens.find(digest("pst_else"), 0.0) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[ana]", "ana.sha256: Field required"),
        (f'[ana]\nsha256 = "{ANA}"', "ana.sha256: String should match"),
        (f'[ana]\nsha256 = "{HASH.upper()}"', "ana.sha256: String should match"),
        (f'[ana]\nsha256 = "{HASH}\\n"', "ana.sha256: String should match"),
        (_table("ana", ANA, 'operator = "yes"'), "ana.operator: Input should be a valid boolean"),
        (_table("ana", ANA, 'programs = "qa"'), "ana.programs: Input should be a valid list"),
        (_table("ana", ANA, "requests_per_minute = 0"), "ana.requests_per_minute: Input should"),
        (_table("ana", ANA, "program = 1"), "ana.program: Extra inputs are not permitted"),
        (_table("ana", ANA) + _table("ben", ANA), "ben and ana have the same token"),
        (_table("ana", ANA) + _table("ana", BEN), "Cannot declare"),
        (_table('"a|b"', ANA), "letters, digits"),
        ('sha256 = "x"', "sha256: Input should be"),
    ],
)
def test_a_file_that_is_wrong_says_where(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as raised:
        read(text)
    assert ANA not in str(raised.value)


def test_one_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    with pytest.raises(ConfigurationError, match=r"GATEWAY__TOKENS: .*No such file"):
        TokenFile(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="GATEWAY__TOKENS"):
        TokenFile(path)


def test_tokens_come_and_go_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(_table("ana", ANA))
    tokens = TokenFile(path)
    assert tokens.find(digest(ANA), 0.0)
    path.write_text(_table("ben", BEN, "operator = true"))
    # It is not looked at for every request.
    assert tokens.find(digest(ANA), LOOK_SECONDS - 0.1)
    assert not tokens.find(digest(ANA), LOOK_SECONDS)
    assert tokens.find(digest(BEN), LOOK_SECONDS)


def test_what_is_broken_or_gone_later_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(_table("ana", ANA))
    tokens = TokenFile(path)
    now = 0.0
    for text in ("[ana", _table("ben", BEN, "operator = 1"), None):
        now += LOOK_SECONDS
        path.write_text(text) if text is not None else path.unlink()
        with structlog.testing.capture_logs() as logs:
            for later in (0.0, LOOK_SECONDS):
                now += later
                assert tokens.find(digest(ANA), now)
        # Once, until it changes again.
        assert [line["log_level"] for line in logs] == ["error"]
    now += LOOK_SECONDS
    path.write_text(_table("ben", BEN))
    assert not tokens.find(digest(ANA), now)
    assert tokens.find(digest(BEN), now)


def test_another_file_of_the_same_size_and_time_is_another(tmp_path: Path) -> None:
    """As a mounted secret changes."""
    path = tmp_path / "tokens.toml"
    path.write_text(_table("ana", ANA))
    tokens = TokenFile(path)
    before = path.stat()
    (tmp_path / "new").write_text(_table("ben", BEN))
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").rename(path)
    assert path.stat().st_size == before.st_size
    assert tokens.find(digest(BEN), LOOK_SECONDS)


def test_tokens_are_long_and_no_two_are_the_same() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(one.startswith(PREFIX) and len(one) == len(PREFIX) + 43 for one in made)


def test_the_command_prints_the_token_and_what_the_file_has_to_hold(tmp_path: Path) -> None:
    runner, file = CliRunner(), tmp_path / "tokens.toml"
    programs = ["qa", 'a"b', "Ü\N{GRINNING FACE}"]
    options = [word for name in programs for word in ("--program", name)]
    options += ["--requests-per-minute", "9", "--operator"]
    made = {}
    for name, more in (("ana", options), ("ben", [])):
        told = runner.invoke(app, ["token", name, *more])
        assert told.exit_code == 0
        made[name] = told.stderr.strip()
        assert made[name] not in told.stdout
        with file.open("a") as tokens:
            tokens.write(told.stdout)
    known = TokenFile(file)
    found = known.find(digest(made["ana"]), 0.0)
    assert found is not None
    assert (found[0], found[1].programs, found[1].operator) == ("ana", programs, True)
    assert found[1].requests_per_minute == 9
    found = known.find(digest(made["ben"]), 0.0)
    assert found is not None
    assert (found[0], found[1].programs, found[1].operator) == ("ben", None, False)


def test_a_name_that_is_no_bare_key_is_refused() -> None:
    for name in ("a b", "a.b", "a|b", "", "a]"):
        assert CliRunner().invoke(app, ["token", name]).exit_code == 2
