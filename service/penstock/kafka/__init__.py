"""The shells around Kafka."""
