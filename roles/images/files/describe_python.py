"""Runs inside a base image and prints what wheels are chosen by: PEP 508 markers and the C library."""

import json
import os
import platform
import sys

print(  # noqa: T201 - the answer
    json.dumps(
        {
            "markers": {
                "implementation_name": sys.implementation.name,
                "implementation_version": platform.python_version(),
                "os_name": os.name,
                "platform_machine": platform.machine(),
                "platform_python_implementation": platform.python_implementation(),
                "platform_release": platform.release(),
                "platform_system": platform.system(),
                "platform_version": platform.version(),
                "python_full_version": platform.python_version(),
                "python_version": ".".join(platform.python_version_tuple()[:2]),
                "sys_platform": sys.platform,
            },
            "libc": platform.libc_ver(),
        }
    )
)
