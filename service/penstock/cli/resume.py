"""`penstock resume`: what an operator has paused goes on, and what waits for one."""

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Way
from penstock.cli.pause import Partitions, Programs

EXAMPLES = """Examples:

    penstock resume

    penstock resume --partition 3
"""


def resume(
    partition: Partitions = None,
    program: Programs = None,
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Let all replicas go on that are paused, by `penstock pause` or because too many questions
    failed for good.

    The questions that were kept back are asked anew. With `--partition` or `--program`, only that
    pause ends. What was not paused, and which pauses still stand, is printed where we may read the
    control topic. Exit code:
    0 asked, 1 Kafka did not take it, 2 usage or configuration.
    """
    from penstock.cli import pausing

    scopes = pausing.scopes(partition, program)
    replicas = pausing.Replicas(Way(bootstrap_server, command_config, options))
    named = partition or program
    # Everything is let go on in any case: the gate may be shut, which is no pause.
    stood = replicas.stood(scopes) if named else scopes
    replicas.resume(scopes)
    for scope in scopes:
        if scope in stood:
            print("asked all replicas to go on", *(("with", scope) if named else ()))
        else:
            print(f"{scope} was not paused")
    replicas.tell_what_stands()
