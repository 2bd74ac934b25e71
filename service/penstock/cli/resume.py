"""`penstock resume`: an operator has seen to what made too many questions fail."""

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Way

EXAMPLES = """Examples:

    penstock resume
"""


def resume(
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Let all replicas go on that have paused because too many questions failed for good.

    The questions that were kept back are asked anew.
    """
    from penstock.cli.controlling import ask_all
    from penstock.events.control import ALL, PAUSE

    ask_all(Way(bootstrap_server, command_config, options), {f"{PAUSE}{ALL}": None})
    print("asked all replicas to go on")
