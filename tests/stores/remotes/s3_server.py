"""An S3 server on loopback: moto, with users, keys, signatures and policies checked as AWS does.

moto keeps its buckets in the memory of the process: servers of one process are one server.
"""

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.moto_server.werkzeug_app import MotoRequestHandler
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.stores.remotes.server import LimitedSpace, Server

__all__ = ["s3_server"]

BUCKET = "latentlaw"
REGION = "us-east-1"
# What MinIO and Ceph answer when disks are full; AWS never does.
FULL = (
    b"<?xml version='1.0'?><Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free \
drive threshold. Please delete a few objects to proceed.</Message></Error>"
)


@contextlib.contextmanager
def s3_server() -> Iterator[Server]:
    """A server with an empty bucket; it speaks plain HTTP."""
    space = LimitedSpace(DomainDispatcherApplication(create_backend_app), answer=FULL)
    listener = make_server("127.0.0.1", 0, space, threaded=True, request_handler=QuietHandler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    endpoint = {"endpoint_url": f"http://127.0.0.1:{listener.server_port}", "region_name": REGION}
    before = settings.INITIAL_NO_AUTH_ACTION_COUNT
    settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
    anyone = {**endpoint, "aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
    boto3.client("s3", **anyone).create_bucket(Bucket=BUCKET)
    iam = boto3.client("iam", **anyone)
    writer, reader = user(iam, ["s3:*"]), user(iam, ["s3:Get*", "s3:List*", "s3:Head*"])
    settings.INITIAL_NO_AUTH_ACTION_COUNT = ActionAuthenticatorMixin.request_count = 0
    keys = {"aws_access_key_id": writer["access_key_id"], "aws_secret_access_key": writer["secret_access_key"]}
    bucket = boto3.resource("s3", **endpoint, **keys).Bucket(BUCKET)

    def put(name: str, content: bytes | None) -> None:
        bucket.Object(name).delete() if content is None else bucket.put_object(Key=name, Body=content)

    try:
        yield Server(
            kind="s3",
            port=listener.server_port,
            url=lambda port: f"s3://{BUCKET}/store",
            settings=lambda port: {"endpointurl": f"http://127.0.0.1:{port}", "region": REGION},
            credentials=writer,
            wrong_credentials={**writer, "secret_access_key": "0" * 40},
            reader_credentials=reader,
            patience={"read_timeout": "2", "connect_timeout": "2"},
            environment={
                "AWS_ACCESS_KEY_ID": writer["access_key_id"],
                "AWS_SECRET_ACCESS_KEY": writer["secret_access_key"],
            },
            sizes=lambda: {item.key: item.size for item in bucket.objects.all()},
            empty=lambda: bucket.objects.delete(),
            put=put,
            space=space.allow,
        )
    finally:
        bucket.objects.delete()
        bucket.delete()
        settings.INITIAL_NO_AUTH_ACTION_COUNT = before
        listener.shutdown()


class QuietHandler(MotoRequestHandler):
    def log(self, *_: object) -> None:
        pass


def user(iam: Any, actions: list[str]) -> dict[str, str]:
    name = uuid.uuid4().hex  # earlier ones of this process are still there
    iam.create_user(UserName=name)
    statement = [{"Effect": "Allow", "Action": actions, "Resource": "*"}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
