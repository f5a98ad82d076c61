"""The action ``token_status_info``: looks at every token of a host, by one command there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments
    from module_utils.token_keeper_helper.controller import LookAction
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import arguments
    from ansible.module_utils.token_keeper_helper.controller import LookAction


class ActionModule(LookAction):
    """Does what the module of this name documents; see :class:`LookAction`."""

    specification = arguments.TOKEN_STATUS_INFO
