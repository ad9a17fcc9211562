"""`python -m quadpred`."""

from quadpred.cli.app import main

if __name__ == "__main__":
    main()
