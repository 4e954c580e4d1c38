"""``python -m tilec`` is the command line."""

from tilec.cli.main import main

main()
