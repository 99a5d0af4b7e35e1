"""`python -m kennel.local HOME PORT REGION RUNNER`: a server in the background, as `background` starts it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from kennel.errors import KennelError, Stopped, one_line, stop_on_signals
from kennel.local.server import serve


def main() -> int:
    """0 when it was stopped, 2 when it could not start."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("kennel").setLevel(logging.INFO)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    home, port, region, runner = sys.argv[1:]
    stop_on_signals()
    try:
        return serve(Path(home), int(port), region, runner, lambda url: logging.getLogger("kennel").info("%s", url))
    except Stopped:
        return 0
    except (KennelError, OSError) as error:
        print(one_line(error) if isinstance(error, OSError) else error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
