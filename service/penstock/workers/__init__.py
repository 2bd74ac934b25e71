"""Several processes of the service under one small supervisor: `penstock serve --workers`."""
