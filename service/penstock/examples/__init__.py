"""Programs to begin with: each is run by a test, once by `penstock run` and once over Kafka."""
