"""The shape of what config.yaml says about requests: credentials and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from api2db.app.field import Count, HeaderName, JmesPath, Text, Token, WebUrl, sendable
from api2db.core.errors import ConfigError
from api2db.files import credentials
from api2db.ingest.auth import Auth, OAuth2, fault_of_text
from api2db.ingest.pages import Pages

if TYPE_CHECKING:
    from pathlib import Path


class Model(BaseModel):
    """A mapping in which unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BasicModel(Model):
    """User and password."""

    user: Text = Field(description="User name.")
    password: Text = Field(description="Password; write ${NAME} to take it from the environment.")

    @field_validator("user")
    @classmethod
    def _no_colon(cls, user: str) -> str:
        if ":" in user:
            raise ValueError("cannot be sent: the user must not have a colon in it")
        return user


class ApiKeyModel(Model):
    """An API key in a header or in the query."""

    header: HeaderName | None = Field(None, description="Name of the header that carries the key.")
    query: str | None = Field(None, description="Name of the query parameter that carries it.")
    value: Text = Field(description="The key; write ${NAME} to take it from the environment.")

    @field_validator("value")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        return sendable(value) if info.data.get("header") is not None else value

    @model_validator(mode="after")
    def _one(self) -> ApiKeyModel:
        if (self.header is None) == (self.query is None):
            raise ValueError("give either 'header' or 'query'")
        return self


class OAuth2Model(Model):
    """OAuth 2: client credentials, or a refresh token."""

    token_url: WebUrl = Field(description="URL of the token endpoint.")
    client_id: Text | None = Field(None, min_length=1, description="Name of this client.")
    client_secret: Text | None = Field(None, description="Its secret; write ${NAME}.")
    file: str | None = Field(
        None,
        min_length=1,
        description="In place of both: file of AUTH/ with client_id and client_secret, or key and"
        " secret, and perhaps refresh_token; relative to this file.",
    )
    scope: Text | None = Field(None, description="Scopes, separated by spaces.")
    refresh_token: Text | None = Field(
        None, description="With it new tokens come by it; else by client credentials."
    )

    @model_validator(mode="after")
    def _one(self) -> OAuth2Model:
        if self.file is not None:
            for key in ("client_id", "client_secret", "refresh_token"):
                if getattr(self, key) is not None:
                    raise ValueError(f"give either 'file' or '{key}'")
        elif self.client_id is None:
            raise ValueError("give 'client_id', or 'file'")
        elif not self.client_secret and not self.refresh_token:
            raise ValueError("give 'client_secret', 'refresh_token', or both")
        if "@" in self.token_url.partition("://")[2].partition("/")[0]:
            raise ValueError("write user and password as 'client_id' and 'client_secret'")
        return self

    def client(self, folder: Path) -> OAuth2:
        """Return it as the source wants it; raises as `AuthModel.credential`."""
        client_id, secret = self.client_id or "", self.client_secret or ""
        refresh_token = self.refresh_token or ""
        if self.file is not None:
            path = folder / self.file
            ways = (("client_id", "client_secret"), ("key", "secret"))
            names = ways["key" in credentials.read_object(path)]
            found = credentials.read(path, names, ("refresh_token",))
            for name, value in found.items():
                if fault := fault_of_text(value):
                    raise ConfigError(f"{path}: {name}: cannot be sent: {fault}")
            client_id, secret = (found[name] for name in names)
            refresh_token = found.get("refresh_token", "")
        return OAuth2(self.token_url, client_id, secret, self.scope or "", refresh_token)


class AuthModel(Model):
    """How requests identify themselves: one of these."""

    bearer: Token | None = Field(None, description="Sent as 'Authorization: Bearer ...'.")
    basic: BasicModel | None = Field(None, description="HTTP basic authentication.")
    api_key: ApiKeyModel | None = Field(None, description="An API key.")
    oauth2: OAuth2Model | None = Field(None, description="Tokens that are fetched and renewed.")

    @model_validator(mode="after")
    def _one(self) -> AuthModel:
        given = (self.bearer, self.basic, self.api_key, self.oauth2)
        if sum(one is not None for one in given) != 1:
            raise ValueError("give exactly one of bearer, basic, api_key, oauth2")
        return self

    def credential(self, folder: Path) -> Auth | OAuth2:
        """
        Return it as the source wants it; relative paths begin at *folder*.

        Raises:
            ConfigError: A file of AUTH/ cannot be used.
        """
        if self.bearer is not None:
            return Auth("bearer", self.bearer)
        if self.basic is not None:
            return Auth("basic", self.basic.password, self.basic.user)
        if self.api_key is not None:
            kind: Literal["header", "query"] = "header" if self.api_key.header else "query"
            return Auth(kind, self.api_key.value, self.api_key.header or self.api_key.query or "")
        assert self.oauth2 is not None
        return self.oauth2.client(folder)


_WITH = {"param": "cursor", "start": "page", "size": "page", "limit": "offset"}


class PagesModel(Model):
    """How pages follow each other: one of cursor, next, link, page, offset."""

    cursor: JmesPath | None = Field(None, description="JMESPath of the next cursor in the body.")
    param: str | None = Field(None, description="Query parameter that sends the cursor back.")
    next: JmesPath | None = Field(None, description="JMESPath of the next page's URL in the body.")
    link: Literal["header"] | None = Field(
        None, description="header: the next page's URL is in the Link header (RFC 8288)."
    )
    page: str | None = Field(
        None, min_length=1, description="Query parameter of the page's number; up to an empty page."
    )
    start: Count | None = Field(None, ge=0, description="Number of the first page; default 1.")
    size: dict[str, Count] | None = Field(
        None, min_length=1, max_length=1, description="Parameter of the page's size, and the size."
    )
    offset: str | None = Field(
        None, min_length=1, description="Query parameter of the offset; up to an empty page."
    )
    limit: dict[str, Count] | None = Field(
        None, min_length=1, max_length=1, description="Parameter of the limit, and the limit."
    )

    @field_validator("size", "limit")
    @classmethod
    def _positive(cls, value: dict[str, int] | None) -> dict[str, int] | None:
        if value is not None and min(value.values()) < 1:
            raise ValueError("write a number from 1")
        return value

    @model_validator(mode="after")
    def _one(self) -> PagesModel:
        kinds = ("cursor", "next", "link", "page", "offset")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError("give one of 'cursor' with 'param', 'next', 'link', 'page', 'offset'")
        for key, kind in _WITH.items():
            if getattr(self, key) is not None and getattr(self, kind) is None:
                raise ValueError(f"'{key}' goes with '{kind}'")
        if self.cursor is not None and self.param is None:
            raise ValueError("'cursor' and 'param' go together")
        return self

    def rule(self) -> Pages:
        """Return it as the source wants it."""
        if self.cursor is not None:
            return Pages("cursor", self.cursor, self.param or "")
        if self.next is not None:
            return Pages("next", self.next)
        if self.link is not None:
            return Pages("link")
        size = tuple((name, str(n)) for name, n in (self.size or self.limit or {}).items())
        if self.page is not None:
            start = 1 if self.start is None else self.start
            return Pages("page", param=self.page, start=start, size=size)
        return Pages("offset", param=self.offset or "", size=size)
