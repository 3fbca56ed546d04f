"""Checks of passports, on dramatiq. A worker: `dramatiq jobs`. The clock: see `forget.py`."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from passports import documents, mrz, register

broker = RedisBroker(url=os.environ["REDIS_URL"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["REDIS_URL"])))
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
