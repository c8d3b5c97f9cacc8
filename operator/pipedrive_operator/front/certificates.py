"""Serves TLS with a certificate in files, and reads the files again when they are renewed."""

import ssl
from typing import Final

from pipedrive_operator.config.consent import TlsSettings
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock

REREAD_SECONDS: Final = 60.0
"""How often the files are read again; a renewed certificate is used from then on for new connections."""

_log = get_logger(__name__)


class Certificates:
    """The TLS context of a server."""

    def __init__(self, settings: TlsSettings) -> None:
        """Read the files. Raises OSError (ssl.SSLError included) if they cannot be used."""
        self._settings = settings
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.reload()

    def reload(self) -> None:
        """Read the files again. Raises OSError, and then keeps the former certificate."""
        self.context.load_cert_chain(self._settings.cert_file, self._settings.key_file)

    async def keep_fresh(self, clock: Clock) -> None:
        """Read the files again and again. A failure is logged, because the certificate in use will expire."""
        while True:
            await clock.sleep(REREAD_SECONDS)
            try:
                self.reload()
            except OSError as error:
                _log.error("the renewed certificate cannot be read; the former one is still used", error=str(error))
