"""TLS from files: who we are, whom we trust, and clear words when a file does not serve."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc


class BadTlsFiles(ValueError):
    """A TLS file is missing, unreadable, or does not fit the others; the text names the file and what to do."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files.

    Names: a dialer checks that the server's certificate names the host it dialed (subject alternative name, DNS or IP;
    `name_override` checks for that name instead, meant for tests on loopback). A server that is `mutual` demands a
    client certificate signed by `ca`, and no more: which node or client it was made for is not checked, so every holder
    of a certificate of that authority is trusted equally. Files are read when credentials are made, not again later.
    """

    ca: Path
    """The authority whose signatures we trust."""
    cert: Path | None = None
    """Our certificate, and the chain after it. Servers need one; dialers where the server is mutual."""
    key: Path | None = None
    """The certificate's private key, not encrypted."""
    mutual: bool = False
    """Servers: demand certificates of clients and peers."""
    name_override: str | None = None
    """Dialers: the name the server's certificate must carry, instead of the dialed host's."""

    def server_credentials(self) -> grpc.ServerCredentials:
        """What a server shows and demands.

        Raises:
            BadTlsFiles: a file does not serve.
        """
        pair = self._pair()
        if pair is None:
            raise BadTlsFiles("a TLS server needs its certificate and key: give both files")
        ca = self._authority()
        return grpc.ssl_server_credentials(
            [pair], root_certificates=ca if self.mutual else None, require_client_auth=self.mutual
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """What a dialer trusts and, if it has a certificate, shows.

        Raises:
            BadTlsFiles: a file does not serve.
        """
        key, cert = self._pair() or (None, None)
        return grpc.ssl_channel_credentials(self._authority(), private_key=key, certificate_chain=cert)

    def channel_options(self) -> list[tuple[str, str]]:
        """The channel arguments that go with `channel_credentials`."""
        return [("grpc.ssl_target_name_override", self.name_override)] if self.name_override else []

    def _authority(self) -> bytes:
        pem = _read(self.ca, "certificate authority")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise BadTlsFiles(f"{self.ca} holds no PEM certificate to trust ({error})") from None
        return pem

    def _pair(self) -> tuple[bytes, bytes] | None:
        """Key and certificate, proven to belong together; None when neither is given."""
        if self.cert is None and self.key is None:
            return None
        if self.cert is None or self.key is None:
            given, other = ("certificate", "key") if self.key is None else ("key", "certificate")
            raise BadTlsFiles(f"a TLS {given} comes without its {other}: give both files")
        key, cert = _read(self.key, "TLS key"), _read(self.cert, "TLS certificate")
        try:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert, self.key, password="")
        except ssl.SSLError as error:
            raise BadTlsFiles(f"{self.key} is not the unencrypted key of {self.cert} ({error})") from None
        return key, cert


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadTlsFiles(f"the {what} {path} cannot be read: {error.strerror}") from None
