#!/usr/bin/env python3
"""Reads CEF with pycef and compares it with the native records of the same lines.

    cef.py FOLDER EXTENSION_KEYS.json      FOLDER holds N.cef and N.native
"""
import glob
import json
import re
import sys

import pycef

folder, dictionary = sys.argv[1:]
limits = {key: entry["length"] for key, entry in json.load(open(dictionary))["keys"].items()}
# In the standard, not in that list.
limits |= {"outcome": 63, "sourceServiceName": limits.get("sourceServiceName", 1023)}
# pycef calls a custom field by its label.
FIELDS = {
    "externalId": "id", "cat": "event_type", "act": "action", "outcome": "outcome.result",
    "suser": "actor.email", "suid": "actor.id", "duid": "target.id", "turn_id": "session.turn_id",
    "surface": "client.surface", "input_tokens": "usage.input", "output_tokens": "usage.output",
    "cached_input_tokens": "usage.cached_input", "prompt": "prompt_text", "response": "response_text",
    "deviceExternalId": "principal.id", "fileHash": "provenance.raw_sha256",
    "OpenAIComplianceEventId": "upstream_id", "requestClientApplication": "actor.user_agent",
}
KEYS = {"turn_id": "cs2", "surface": "cs6", "prompt": "cs4", "response": "cs5",
        "input_tokens": "cn1", "output_tokens": "cn2", "cached_input_tokens": "cn3"}
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")


def unescape(value):
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), value)


def at(record, path):
    for part in path.split("."):
        record = record.get(part) if isinstance(record, dict) else None
    return record


def bytes_of(text):
    return len(text.encode("utf-8", "surrogatepass"))


count = 0
for name in sorted(glob.glob(f"{folder}/*.cef")):
    lines = open(name, encoding="utf-8", newline="").read().split("\n")[:-1]
    natives = open(name.replace(".cef", ".native"), encoding="utf-8", newline="").read().split("\n")[:-1]
    assert len(lines) == len(natives), f"{name}: {len(lines)} lines, {len(natives)} records"
    for line, native in zip(lines, natives):
        assert len(line.splitlines()) == 1, line
        values = pycef.parse(line)
        assert values, line
        record = json.loads(native, parse_int=str, parse_float=str)
        cut = values.get("OpenAIComplianceTruncated", "").split(",")
        for key, value in values.items():
            limit = limits.get(KEYS.get(key, key), 0)
            assert not limit or bytes_of(unescape(value)) <= limit, f"{key} is too long: {line}"
        for key, path in FIELDS.items():
            expected = at(record, path)
            if expected is None:
                continue
            if re.search("[\ud800-\udfff]", expected):
                continue  # stands for no text
            expected = CONTROL.sub(" ", expected)
            shown = unescape(values.get(key, ""))
            if KEYS.get(key, key) in cut:
                right = shown == "" or expected.strip().startswith(shown.strip())
            else:
                right = shown.strip() == expected.strip()
            assert right, f"{key} is {shown!r}, {path} is {expected!r}: {line}"
        count += 1
print(f"{count} lines")
