"""Mutations of a protobuf message at the level of its wire format: whole fields, with the lengths around them right."""

from __future__ import annotations

import random
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
EXTREMES = (0, 1, 2, 3, 7, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
MAX_REPEATS = 200


@dataclass(frozen=True)
class Field:
    """One field: its number, wire type and payload (the varint's value, or the bytes)."""

    number: int
    kind: int
    payload: int | bytes


def parse(raw: bytes) -> list[Field] | None:
    """The fields of a message; None where the bytes are none."""
    fields, at = [], 0
    while at < len(raw):
        key, at = _varint(raw, at)
        if key is None or not key >> 3:
            return None
        kind = key & 7
        payload: int | bytes | None
        if kind == VARINT:
            payload, at = _varint(raw, at)
        elif kind == BYTES:
            size, at = _varint(raw, at)
            payload = raw[at : at + size] if size is not None else None
            at += size or 0
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
            payload = raw[at : at + size]
            at += size
        else:
            return None
        if payload is None or at > len(raw):
            return None
        fields.append(Field(key >> 3, kind, payload))
    return fields


def _varint(raw: bytes, at: int) -> tuple[int | None, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            return None, at
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    return None, at


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def write(fields: list[Field]) -> bytes:
    """The bytes of a message."""
    out = bytearray()
    for field in fields:
        out += varint(field.number << 3 | field.kind)
        if isinstance(field.payload, int):
            out += varint(field.payload)
            continue
        if field.kind == BYTES:
            out += varint(len(field.payload))
        out += field.payload
    return bytes(out)


def mutate(raw: bytes, rng: random.Random) -> bytes:
    """The message with one field changed, however deep; other bytes with a few of them changed."""
    fields = parse(raw)
    if not fields:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(8)))
    k = rng.randrange(len(fields))
    field = fields[k]
    if isinstance(field.payload, bytes) and field.kind == BYTES and rng.random() < 0.75 and parse(field.payload):
        fields[k] = Field(field.number, BYTES, mutate(field.payload, rng))
    else:
        _change(fields, k, rng)
    return write(fields)


def _change(fields: list[Field], k: int, rng: random.Random) -> None:
    field = fields[k]
    match rng.randrange(9):
        case 0:
            del fields[k]
        case 1:
            fields.insert(rng.randrange(len(fields) + 1), field)
        case 2:
            other = rng.randrange(len(fields))
            fields[k], fields[other] = fields[other], field
        case 3:
            fields[k] = Field(rng.randrange(1, 32), field.kind, field.payload)
        case 4:
            other_payload = rng.choice(fields).payload
            if isinstance(other_payload, type(field.payload)):
                fields[k] = Field(field.number, field.kind, other_payload)
        case 5 if field.kind == BYTES:
            fields[k : k + 1] = [field] * rng.choice((2, 3, MAX_REPEATS))
        case _:
            fields[k] = Field(field.number, field.kind, _payload(field, rng))


def _payload(field: Field, rng: random.Random) -> int | bytes:
    if isinstance(field.payload, int):
        return rng.choice((*EXTREMES, max(0, field.payload - 1), field.payload + 1)) & (2**64 - 1)
    return change_bytes(field.payload, rng) if field.kind == BYTES else rng.randbytes(len(field.payload))


def change_bytes(raw: bytes, rng: random.Random) -> bytes:
    """A few bytes flipped, set, dropped, put in, doubled, or cut off."""
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(out):
                out[at] = rng.choice((0, 1, 10, 27, 127, 128, 192, 255))
            case 2:
                del out[at : at + rng.choice((1, 1, 2, 8, 64))]
            case 3:
                out[at:at] = rng.randbytes(rng.choice((1, 1, 2, 8)))
            case 4:
                out[at:at] = out[at : at + rng.choice((1, 4, 16, 64))]
            case _:
                del out[at:]
    return bytes(out)


def draw(seeds: dict[str, bytes], names: list[str], rng: random.Random) -> bytes:
    """Bytes that a file could hold: a seed cut off, changed as bytes, changed by fields, or mere noise."""
    raw = seeds[rng.choice(names)]
    kind = rng.random()
    if kind < 0.1:
        return raw[: rng.randrange(len(raw) + 1)]
    if kind < 0.12:
        return rng.randbytes(rng.choice((0, 1, 2, 10, 100, 1000)))
    if kind < 0.4:
        return change_bytes(raw, rng)
    if kind < 0.45:
        other = seeds[rng.choice(names)]
        return raw[: rng.randrange(len(raw) + 1)] + other[rng.randrange(len(other) + 1) :]
    for _ in range(rng.choice((1, 1, 2, 3))):
        raw = mutate(raw, rng)
    return raw
