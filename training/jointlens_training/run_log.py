"""What a run must say first: command, seed, commit, data. And its figures, one JSON line each."""
import json
import subprocess
import sys
import time
from pathlib import Path


def commit_of(folder=Path(__file__).parent):
    """Commit in hex of the code that runs, with `-dirty` when files differ from it; 'unknown' outside a repository."""
    def git(*words):
        return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout.strip()
    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", str(folder)) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command_line():
    return " ".join(["python -m jointlens_training", *sys.argv[1:]])


class RunLog:
    """Prints and appends to <folder>/log.jsonl."""

    def __init__(self, folder, **heading):
        self.file, self.started = Path(folder) / "log.jsonl", time.time()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.write(**heading)

    def write(self, **figures):
        rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in figures.items()}
        line = json.dumps({**rounded, "seconds": round(time.time() - self.started)})
        print(line, flush=True)
        with open(self.file, "a") as file:
            file.write(line + "\n")
