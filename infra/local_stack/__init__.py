"""The local stack: an S3 endpoint, an MLflow server and a Ray head on loopback, for development and tests.

`python -m infra.local_stack up | status | down`, from the project's root (`make up`, `make down`). It plays the parts
that a cluster has for real; it is not a way to run production: the S3 endpoint keeps its objects in memory only.
"""
