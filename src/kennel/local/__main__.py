"""`python -m kennel.local HOME PORT REGION RUNNER CONCURRENCY`: a server in the background, see `background`."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path

from kennel.errors import KennelError, Stopped, one_line, stop_on_signals
from kennel.local.server import assemble, serve


def main() -> int:
    """0 when it was stopped, 2 when it could not start."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("kennel").setLevel(logging.INFO)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    home, port, region, runner, concurrency = sys.argv[1:]
    stop_on_signals()
    try:
        services = partial(assemble, concurrency=int(concurrency))
        told = logging.getLogger("kennel").info
        return serve(Path(home), int(port), region, runner, lambda url: told("%s", url), services)
    except Stopped:
        return 0
    except (KennelError, OSError) as error:
        print(one_line(error) if isinstance(error, OSError) else error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
