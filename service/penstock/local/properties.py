"""How is a Kafka node set up for one person, and for tests?"""

from pathlib import Path


def properties_of(number: int, ports: list[tuple[int, int]], data: Path) -> dict[str, str]:
    """The lines of `server.properties`; `ports` has the client's and the controller's per node."""
    nodes = len(ports)
    client, controller = ports[number - 1]
    copies = str(min(nodes, 3))
    # With three copies, what is acknowledged is in two places: one node may die.
    in_sync = str(min(nodes, 2))
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.voters": ",".join(
            f"{voter}@127.0.0.1:{port}" for voter, (_, port) in enumerate(ports, 1)
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
    }
