"""What the token modules and their action plugins share: the helper container and what comes back from it.

Nothing in here opens a token document. The helper container does, with the ``token_keeper`` package; this package
builds its command line, reads its answers and turns what went wrong into a message with a remedy. It needs Python 3.9
and ``ansible-core`` on the Docker host, and the ``docker`` command.
"""
