"""`python -m kennel.serving.prove ARTIFACT`: the artifact's proof before a server starts, in a process of its own.

A process of its own because what is proven is not trusted yet: if it takes its engine down, the server's parent sees
that and can say so. Prints the proven engine's name on stdout; an error is one line on stderr and exit code 2.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from kennel import artifact
from kennel.errors import KennelError
from kennel.serving.choice import proven


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        found = artifact.load(Path(sys.argv[1]))
        classifier = proven(found, os.environ.get("KENNEL_ENGINE", "auto"))
    except KennelError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print({"torch-cuda": "torch", "torch-cpu": "torch"}.get(classifier.engine.name, classifier.engine.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
