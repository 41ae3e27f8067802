# Looks at the config files as they are written, before Snakemake reads those of the study.

import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from scaling import grid
from scaling.provenance import UserError


def refuse(line):
    """End with a line for the user; an exception would have Snakemake wrap it in a report of its own."""
    print(line, file=sys.stderr)
    sys.exit(1)


try:
    grid.check_files(["config.yaml", "slurm/site.yaml", *workflow.overwrite_configfiles])
except UserError as error:
    refuse(f"config: {error}")
