"""`python -m syncnet_lib` is the `syncnet` command."""

from syncnet_lib.cli import main

if __name__ == "__main__":
    main()
