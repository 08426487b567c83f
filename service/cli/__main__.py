"""`python -m service.cli`: the command without an installed script."""

from service.cli import main

main()
