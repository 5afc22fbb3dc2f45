"""`python -m anyorder`."""

from anyorder.cli.main import main

main()
