"""A connection to the gateway of IKV, by the stub of its vendor, that can be cut off."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import grpc
from ikvpy.schemas import services_pb2 as services
from ikvpy.schemas.services_pb2_grpc import InlineKVWriteServiceStub

from api2db.core.errors import SinkMisconfigured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api2db.sink.target import Ikv

#: Seconds that one request may take, and the first one.
TIMEOUT, LOGIN = 60.0, 20.0
#: The worker alone tries again. Channels that share a connection share its waits, too.
_OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))


class Gateway:
    """
    One channel, opened by the first request.

    The vendor's writer has no call for many documents, and hides why a server cannot be
    reached behind an AttributeError: so the requests are made here.

    Every method but `interrupt` and `close` raises grpc.RpcError, and ValueError once closed.

    Raises:
        SinkMisconfigured: The file of certificates cannot be read.
    """

    def __init__(self, target: Ikv) -> None:
        who = services.AccountCredentials(
            accountId=target.account_id, accountPasskey=target.account_passkey
        )
        self._store = services.UserStoreContextInitializer(
            credentials=who, storeName=target.store_name
        )
        self._channel = _channel(target)
        self._stub: Any = InlineKVWriteServiceStub(self._channel)
        # These take requests that are encoded already.
        answer = services.Status.FromString
        service = f"/{services.DESCRIPTOR.services_by_name['InlineKVWriteService'].full_name}/"
        unary = self._channel.unary_unary
        self._upsert: Any = unary(f"{service}batchUpsertFieldValues", None, answer)
        self._delete: Any = unary(f"{service}batchDeleteFieldValues", None, answer)

    def keys(self) -> tuple[str, str]:
        """Log in; return the fields that name a document, and its partition."""
        request = services.GetUserStoreConfigRequest(userStoreContextInitializer=self._store)
        answer = self._stub.getUserStoreConfig(request, timeout=LOGIN)
        found = answer.globalConfig.stringConfigs
        primary = found.get("primary_key_field_name", "")
        return primary, found.get("partitioning_key_field_name") or primary

    def upsert(self, documents: bytes) -> None:
        """Set fields of documents, encoded as in the request; their other fields stay."""
        request = services.BatchUpsertFieldValuesRequest(userStoreContextInitializer=self._store)
        self._upsert(request.SerializeToString() + documents, timeout=TIMEOUT)

    def delete_fields(self, ids: bytes, names: Sequence[str]) -> None:
        """Remove the fields *names* of the documents that hold the keys *ids*, encoded so, too."""
        request = services.BatchDeleteFieldValuesRequest(
            userStoreContextInitializer=self._store, fieldNames=names
        )
        self._delete(request.SerializeToString() + ids, timeout=TIMEOUT)

    def close(self) -> None:
        """Close the channel, and make a request under way fail; any thread, any number of times."""
        self._channel.close()


def _channel(target: Ikv) -> Any:
    """Return a channel: over TLS, unless nothing leaves this machine."""
    if target.ca is None and _is_loopback(target.endpoint.rpartition(":")[0]):
        options = (*_OPTIONS, ("grpc.enable_http_proxy", 0))
        return grpc.insecure_channel(target.endpoint, options=options)
    try:
        trusted = None if target.ca is None else target.ca.read_bytes()
    except OSError as exc:
        text = f"IKV: cannot read {target.ca}: {exc.strerror}"
        raise SinkMisconfigured(text, hint="'ca' names a file of certificates") from exc
    credentials = grpc.ssl_channel_credentials(root_certificates=trusted)
    return grpc.secure_channel(target.endpoint, credentials, options=_OPTIONS)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
