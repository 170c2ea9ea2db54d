"""``python -m medembed.cli`` is the command ``medembed``."""

from medembed.cli import run

if __name__ == "__main__":
    run()
