"""Checks of passports, on dramatiq. A worker: `dramatiq jobs`. The clock: see `forget.py`."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from passports import documents, mrz, register
from redis import Redis

broker = RedisBroker(url=os.environ["REDIS_URL"])
# redis-py gives a read 5 s, and callers wait longer for a result.
results = Redis.from_url(os.environ["REDIS_URL"], socket_timeout=60)
broker.add_middleware(Results(backend=RedisBackend(client=results)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def check_mrz(document):
    return mrz.wrong_digits(documents.mrz_line(document))


@dramatiq.actor(store_results=True, max_retries=3, min_backoff=200, throws=KeyError)
def look_up(document):
    return register.is_lost(documents.number(document))


@dramatiq.actor(max_retries=0)
def forget_old_documents():
    documents.forget_older_than(30 * 24 * 3600)
