"""Sessions on a Git server: each a parentless commit whose message is the document.

A commit with the document in its message is one object, where a commit, a tree and a blob would be three for
every beat of every peer. The nonce after it makes two equal beats two versions.
"""

from __future__ import annotations

import re

import pygit2

from sentinel.errors import BadRecord
from sentinel.model.codec import MAX_DOCUMENT_BYTES, decode_document
from sentinel.store.base import Register
from sentinel.store.objects import Objects

_NAME = re.compile(r"[0-9a-f]{1,64}")
_END = b"\n\nSentinel-Nonce: "
#: What a commit has beside its message, at most, in bytes.
_AROUND = 4096


def is_name(name: str) -> bool:
    """Whether a register may be called so."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """Raise `ValueError` for what is no register's name."""
    if not is_name(name):
        raise ValueError(f"the register name {name!r} is not lower-case hexadecimal")


def session_text(data: bytes, nonce: str) -> str:
    """The commit message that holds the canonical bytes ``data``."""
    return data.decode("utf-8") + _END.decode() + nonce + "\n"


def split_text(text: bytes) -> bytes:
    """The document in a commit message, or all of it where nobody of ours wrote it."""
    document, mark, _ = text.rpartition(_END)
    return document if mark else text


def write(repository: pygit2.Repository, data: bytes, author: pygit2.Signature, nonce: str) -> pygit2.Oid:
    """A new version of a session that holds the canonical bytes ``data``."""
    text = session_text(data, nonce)
    return repository.create_commit(None, author, author, text, repository.TreeBuilder().write(), [])


def read(objects: Objects, name: str, oid: pygit2.Oid) -> Register:
    """The register at ``oid``."""
    version = str(oid)
    try:
        kind, size = objects.repository.odb.read_header(oid)
        if kind != pygit2.enums.ObjectType.COMMIT:
            return Register(version, None, "it is no commit")
        if size > MAX_DOCUMENT_BYTES + _AROUND:
            return Register(version, None, f"{size} bytes are more than the limit of {MAX_DOCUMENT_BYTES}")
        _, data = objects.repository.odb.read(oid)
    except (pygit2.GitError, KeyError) as error:
        raise objects.damaged(oid) from error
    try:
        return Register(version, decode_document(name, split_text(data.partition(b"\n\n")[2])))
    except BadRecord as bad:
        return Register(version, None, bad.reason)
