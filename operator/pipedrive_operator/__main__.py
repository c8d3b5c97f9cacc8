"""`python -m pipedrive_operator`: the same as the command `pipedrive-operator`."""

from pipedrive_operator.commands import main

if __name__ == "__main__":
    main(prog_name="pipedrive-operator")
