"""The rules. Nothing here knows a payload, a socket, a task or a clock: `now` is an argument."""
