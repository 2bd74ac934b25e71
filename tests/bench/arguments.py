"""What the programs beside the service are told: where they work, and in how many slots."""

import argparse

TOPICS = ("questions", "tokens", "completions")
OTHERS = ("servers", "group", "api-base", "model")


def read(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    for name in (*TOPICS, *OTHERS):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--slots", type=int, required=True)
    return parser.parse_args()
