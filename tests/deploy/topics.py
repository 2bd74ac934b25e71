"""Which topics does the program want, and what has one that nobody has set up?"""

from penstock.kafka.preflight import needs
from penstock.settings import Settings

WANTED = needs(Settings(), {})

OF_KAFKA = {
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "1",
    "retention.ms": "604800000",
    "segment.ms": "604800000",
}
"""What Kafka gives to a topic."""
