"""What does a record on each topic look like? The contract on the wire, as pydantic models."""
