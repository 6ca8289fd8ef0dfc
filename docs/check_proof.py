#!/usr/bin/env python3
"""Checks a proof of custodex: check_proof.py PROOF PUBLIC_KEY.pem (needs the package `cryptography`)."""
import base64
import hashlib
import json
import os
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def climb(leaf, index, size, path):
    """RFC 9162, section 2.1.3.2: the root that a path leads to."""
    node, at, last = sha256(b"\0", leaf), index, size - 1
    assert index < size, "there is no such record"
    for beside in path:
        assert last > 0, "the path is too long"
        if at % 2 or at == last:
            node = sha256(b"\1", beside, node)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            node = sha256(b"\1", node, beside)
        at, last = at // 2, last // 2
    assert last == 0, "the path is too short"
    return node


proof = json.load(open(sys.argv[1], encoding="utf-8"))
case = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[1])))  # an unpacked case has its parts in files
beside = lambda name: open(os.path.join(case, proof[name]), "rb").read() if name in proof else None
key = load_pem_public_key(open(sys.argv[2], "rb").read())
envelope = json.loads(beside("manifest_file") or proof["manifest"])
kind, payload = envelope["payloadType"], base64.b64decode(envelope["payload"])
assert kind == "application/vnd.custodex.manifest+json", "no manifest"
signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)  # raises when it is not the signature

manifest = json.loads(payload)
file = next(file for file in manifest["files"] if file["key"] == proof["key"])
record = beside("record_file") or base64.b64decode(proof["record"])
path = [bytes.fromhex(node) for node in proof["path"]]
root = climb(sha256(record), proof["index"], file["records"], path)
assert root.hex() == file["record_root"], "the record is not the one that was sealed"
print(f"proved: record {proof['index'] + 1} of {file['records']} of {file['event_type']} log file {file['file_id']}")
print(f"sealed in manifest {manifest['number']} of {manifest['instance']}, written {manifest['written_at']}")
