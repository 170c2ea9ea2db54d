"""``python -m medembed.cli`` is the command ``medembed``."""

from medembed.cli import run
from medembed.cli.command import run_guarded

if __name__ == "__main__":
    run_guarded(run)
