"""What may be asked of the gateway? One file per kind of door."""
