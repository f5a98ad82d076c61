#!/bin/sh
# Prints the Python that the environment is made with: the first of 3.11 or later that runs.
# Exits with 1 where there is none, or none with venv that may be completed (root on Debian or Ubuntu can).
for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        if "$name" -c 'import ensurepip, venv' 2>/dev/null ||
            { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }; then
            echo "$name"
            exit 0
        fi
    fi
done
exit 1
