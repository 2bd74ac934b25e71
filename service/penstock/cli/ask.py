"""`penstock ask`: a question over Kafka, or over HTTP."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import inputs as command_line
from penstock.cli.connecting import (
    CONNECTION,
    BootstrapServer,
    ClientOptions,
    CommandConfig,
    Output,
    Way,
)
from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from penstock.cli.ask_door import Door

EXAMPLES = """Examples:

    penstock ask "Why is the sky blue?"

    penstock ask --program translate -i text="Guten Tag" -i language=French

    penstock ask --output json "Why?" | jq -r 'select(.type == "completion").usage'

    penstock ask --file questions.jsonl > completions.jsonl

    penstock ask --gateway http://localhost:8080 "Why is the sky blue?"
"""


def _no_flag(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> Any:
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name == "COMMANDLINE":
        raise ConfigurationError(
            "whoever lists processes sees a token on the command line: use --token-file, or the "
            "environment variable PENSTOCK_TOKEN"
        )
    return value


def ask(
    question: Annotated[
        str | None, typer.Argument(help="The question; `-` reads it from standard input.")
    ] = None,
    program: Annotated[
        str | None, typer.Option(help="Which of the service's programs answers.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="FIELD=TEXT", help="An input field; repeatable."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="JSONL",
            help="Ask every line of a file (`-`: standard input): a JSON object as on the topic, "
            "or a JSON string. Completions come as JSON lines, as they arrive; their "
            "`metadata.line` is the line of the question.",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="With --file: questions that are open at once.")
    ] = 256,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Seconds after which a question expires; the command waits 5 more to be told so. "
            "Default: the program's own time; the command waits for 120, and 5 more.",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Questions of one key are answered in order.")
    ] = None,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask over HTTP instead: a gateway, such as http://localhost:8080.",
            rich_help_panel=CONNECTION,
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="With --gateway: holds the bearer token. Default: the environment variable "
            "PENSTOCK_TOKEN.",
            rich_help_panel=CONNECTION,
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="PENSTOCK_TOKEN", hidden=True, callback=_no_flag),
    ] = None,
) -> None:
    """Ask over Kafka, or a gateway, and print the answer as it is written.

    On a terminal everything the program says is shown; elsewhere only the answer is printed, and
    with `--output json` each event, as it is on the topics. `penstock serve` must be running
    somewhere. Exit code: 0 completed, 1 not; with --file 0 all completed, 3 some, 1 none.
    """
    if sum((question is not None, bool(inputs), file is not None)) != 1:
        raise ConfigurationError("give one of: a question, --input, --file (see --help)")
    if file is not None and program is not None:
        raise ConfigurationError("--file names programs in its lines; leave out --program")
    door = _door(Way(bootstrap_server, command_config, options), gateway, token, token_file)
    # Kafka's client takes a while to import, and the help needs none of it.
    from penstock.telemetry.tracing.switch import while_it_runs

    with while_it_runs("penstock-ask"):
        if file is not None:
            from penstock.cli import ask_file

            raise typer.Exit(ask_file.run(door, _read(file), key, timeout, concurrency))
        from penstock.cli import ask_one

        asked = command_line.fields(inputs or (), bare=False)
        if question is not None:
            text = sys.stdin.read() if question == "-" else question
            if not (text := text.strip()):
                raise ConfigurationError("the question is empty")
            asked = {command_line.QUESTION: text, **asked}
        code = ask_one.run(door, asked, program, key, timeout, as_json=output == "json")
        raise typer.Exit(code)


def _door(way: Way, gateway: str | None, token: str | None, token_file: Path | None) -> "Door":
    from penstock.cli.ask_door import GatewayDoor, KafkaDoor

    if gateway is None:
        if token_file is not None:
            raise ConfigurationError("--token-file is for --gateway; Kafka's passwords go by -X")
        return KafkaDoor(way)
    if any(way):
        raise ConfigurationError("--gateway asks over HTTP; leave out what says how to reach Kafka")
    return GatewayDoor(gateway, token, token_file)


def _read(file: str) -> list[bytes]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--file {file}: {error.strerror}") from error
    return content.splitlines()
