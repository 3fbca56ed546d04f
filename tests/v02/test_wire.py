"""The wire format of 0.2, byte for byte."""

from __future__ import annotations

import pytest

from identtqueue.v02 import wire
from identtqueue.v02.job import JobRequest, JobResult, JobResultType, JobStatus, JobStatusType

REQUEST = JobRequest("id-1", "read", ["a", 2], {"path": "b"}, 1.5)
REQUEST_BYTES = (
    b"\x85\xa7task_id\xa4id-1\xadfunction_name\xa4read\xa4args\x92\xa1a\x02"
    b"\xa6kwargs\x81\xa4path\xa1b\xacenqueue_time\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"
)
STATUS_BYTES = b"\x82\xa6status\x01\xa4data\x81\xa1n\x07"
RESULT_BYTES = b"\x82\xa4type\x02\xa7message\xc0"


def test_a_request() -> None:
    assert wire.encode_request(REQUEST) == REQUEST_BYTES
    assert wire.decode_request(REQUEST_BYTES) == REQUEST


def test_a_status() -> None:
    status = JobStatus(JobStatusType.PROCESSING, {"n": 7})
    assert wire.encode_status(status) == STATUS_BYTES
    assert wire.decode_status(STATUS_BYTES) == status


def test_a_result() -> None:
    result = JobResult(JobResultType.WORKER_TIMEOUT, None)
    assert wire.encode_result(result) == RESULT_BYTES
    assert wire.decode_result(RESULT_BYTES) == result


@pytest.mark.parametrize(
    ("data", "why", "task_id"),
    [
        (b"\x80\x04pickle", "not msgpack", ""),
        (b"\x01", "not a map", ""),
        (b"\x80", "no task_id", ""),
        (b"\x81\xa7task_id\xa1x", "no function_name", "x"),
        (b"\x82\xa7task_id\xa1x\xadfunction_name\xa1f", "args is not a list", "x"),
        (b"\x83\xa7task_id\xa1x\xadfunction_name\xa1f\xa4args\x90", "kwargs is not a map", "x"),
    ],
)
def test_what_is_no_request_says_why(data: bytes, why: str, task_id: str) -> None:
    with pytest.raises(wire.NotOfOldWire, match=why) as caught:
        wire.decode_request(data)
    assert caught.value.task_id == task_id


@pytest.mark.parametrize("decode", [wire.decode_status, wire.decode_result])
def test_an_unknown_number_is_refused(decode: object) -> None:
    with pytest.raises(wire.NotOfOldWire):
        decode(b"\x82\xa6status\x09\xa4type\x09")
