"""Early answers about object storage, from boto3: is the bucket there and may we use it.

Reading and writing go through `data.storage`; this only turns what would fail later into a message now.
"""

import os
from urllib.parse import urlsplit

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from raybind.errors import ConfigError

_CAUSES = {
    "404": "does not exist; create it or correct the name",
    "403": "refuses these credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the profile in use",
    "301": "is in another region; set AWS_REGION",
}


def check_location(key: str, location: str) -> None:
    """Check that the bucket of an `s3://` location answers; a local path needs no check.

    Args:
        key: configuration key the location comes from, for the message.
    Raises: ConfigError: no bucket of that name, no access, or no answer from the endpoint within seconds.
    """
    parts = urlsplit(location)
    if parts.scheme in ("", "file"):
        return
    if parts.scheme != "s3":
        raise ConfigError(f"{key}={location!r}: {parts.scheme!r} is not supported; use a path or s3://bucket/prefix")
    options = BotoConfig(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
    try:
        boto3.client("s3", config=options).head_bucket(Bucket=parts.netloc)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        cause = _CAUSES.get(code, f"answers {code}: {error.response['Error'].get('Message', '')}")
        raise ConfigError(f"{key}={location!r}: bucket {parts.netloc!r} at {endpoint} {cause}") from None
    except BotoCoreError as error:
        raise ConfigError(
            f"{key}={location!r}: no usable answer from {endpoint} ({error}); is AWS_ENDPOINT_URL right, is it up, "
            "are credentials set?"
        ) from None
