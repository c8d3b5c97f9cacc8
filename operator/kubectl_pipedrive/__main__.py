"""Entry point of `kubectl pipedrive` and of `python -m kubectl_pipedrive`."""

from kubectl_pipedrive.program import main

if __name__ == "__main__":
    main()
