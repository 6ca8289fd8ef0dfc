"""An S3 client that shares nothing with the program under test.

    s3.py make BUCKET [lock]      makes a bucket
    s3.py put BUCKET KEY TEXT     stores an object without condition or metadata
    s3.py dump BUCKET FOLDER      writes each version's bytes to FOLDER, prints one JSON line for each
    s3.py delete BUCKET           tries to delete every version; prints how many it could

The endpoint is S3_ENDPOINT; credentials come from the environment.
"""

import json
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

client = boto3.client(
    "s3",
    endpoint_url=os.environ["S3_ENDPOINT"],
    region_name="us-east-1",
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
)


def versions(bucket):
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        assert not page.get("DeleteMarkers"), "something was deleted"
        for version in page.get("Versions", []):
            yield version["Key"], version["VersionId"]


def optional(call, **arguments):
    try:
        return call(**arguments)
    except ClientError:
        return {}


def dump(bucket, folder):
    for number, (key, version) in enumerate(versions(bucket)):
        at = {"Bucket": bucket, "Key": key}
        found = client.get_object(**at)
        head = client.head_object(**at, ChecksumMode="ENABLED")
        path = os.path.join(folder, str(number))
        with open(path, "wb") as file:
            file.write(found["Body"].read())
        print(json.dumps({
            "key": key,
            "version": version,
            "path": path,
            "metadata": head["Metadata"],
            "type": head.get("ContentType"),
            "encoding": head.get("ContentEncoding"),
            "checksum": head.get("ChecksumSHA256"),
            "crc32c": head.get("ChecksumCRC32C"),
            "kms": head.get("SSEKMSKeyId"),
            "class": head.get("StorageClass"),
            "lock": head.get("ObjectLockMode"),
            "until": head["ObjectLockRetainUntilDate"].timestamp() if "ObjectLockRetainUntilDate" in head else None,
            "tags": {tag["Key"]: tag["Value"] for tag in optional(client.get_object_tagging, **at).get("TagSet", [])},
        }))


def delete(bucket):
    done = 0
    for key, version in versions(bucket):
        try:
            client.delete_object(Bucket=bucket, Key=key, VersionId=version)
            done += 1
        except ClientError:
            pass
    print(done)


match sys.argv[1:]:
    case ["make", bucket]:
        client.create_bucket(Bucket=bucket)
    case ["make", bucket, "lock"]:
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    case ["put", bucket, key, text]:
        client.put_object(Bucket=bucket, Key=key, Body=text.encode())
    case ["dump", bucket, folder]:
        dump(bucket, folder)
    case ["delete", bucket]:
        delete(bucket)
    case _:
        sys.exit(__doc__)
