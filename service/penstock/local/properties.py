"""How is a Kafka node set up for one person, and for tests?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.local.listeners import Listener

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Of one node; `secured` in the order of the listeners."""

    plaintext: int
    controller: int
    secured: tuple[int, ...] = ()


def properties_of(
    number: int, ports: Sequence[Ports], data: Path, listeners: Sequence[Listener] = ()
) -> dict[str, str]:
    """The lines of `server.properties`; `ports` per node."""
    nodes = len(ports)
    own = ports[number - 1]
    doors = {"PLAINTEXT": own.plaintext}
    doors |= {each.name: port for each, port in zip(listeners, own.secured, strict=True)}
    for_clients = ",".join(f"{name}://{HOST}:{port}" for name, port in doors.items())
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
    protocols |= {each.name: each.protocol for each in listeners}
    copies = str(min(nodes, 3))
    # With three copies, what is acknowledged is in two places: one node may die.
    in_sync = str(min(nodes, 2))
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "listeners": f"{for_clients},CONTROLLER://{HOST}:{own.controller}",
        "advertised.listeners": for_clients,
        "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in protocols.items()),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.voters": ",".join(
            f"{voter}@{HOST}:{each.controller}" for voter, each in enumerate(ports, 1)
        ),
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "num.partitions": "3",
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # The defaults of 50 are for clusters; here they are files to open at every start.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # A dead node is noticed, and a killed one may come back, after 3 s and not after 9.
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "3000",
        # 128 MiB of the heap by default.
        "log.cleaner.dedupe.buffer.size": str(4 << 20),
        **{name: line for each in listeners for name, line in each.properties().items()},
    }


def as_text(lines: Mapping[str, str]) -> str:
    """A file of such lines. Java takes a backslash for an escape, and reads no UTF-8."""
    text = "".join(f"{name}={value}\n" for name, value in lines.items()).replace("\\", "/")
    return re.sub(r"[^\x00-\x7f]", _escaped, text)


def _escaped(letter: re.Match[str]) -> str:
    units = re.findall("....", letter[0].encode("utf-16-be").hex())
    return "".join(f"\\u{unit}" for unit in units)
