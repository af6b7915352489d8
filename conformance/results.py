"""Reads a subunit stream and writes one JSON line a test: its name, its status, a reason of one line."""

import json
import re
import sys

import subunit
from testtools import StreamResult


class Lines(StreamResult):
    """Gathers what a test said until its last status."""

    def __init__(self):
        super().__init__()
        self.said = {}

    def status(self, test_id=None, test_status=None, file_name=None, file_bytes=None, **_):
        if test_id is None:
            return
        if file_name is not None and file_bytes:
            texts = self.said.setdefault(test_id, {})
            texts[file_name] = texts.get(file_name, b"") + bytes(file_bytes)
        if test_status in ("success", "fail", "skip", "xfail", "uxsuccess"):
            texts = self.said.pop(test_id, {})
            line = {"name": test_id, "status": test_status, "reason": reason(texts)}
            print(json.dumps(line))


# The last line of a traceback: an exception, with or without its module.
EXCEPTION = re.compile(r"^(?!Details:)([a-z_][\w.]*\.)?[A-Z]\w*(:|$)")


def reason(texts):
    """A skip's reason, or the exception at the end of a traceback with its details."""
    for name in ("reason", "traceback"):
        for key, value in texts.items():
            if not key.startswith(name):
                continue
            lines = value.decode("utf-8", "replace").splitlines()
            last = max((i for i, line in enumerate(lines) if EXCEPTION.match(line)), default=0)
            return " ".join(line.strip() for line in lines[last:] if line.strip())[:300]
    return ""


result = Lines()
result.startTestRun()
subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(result)
result.stopTestRun()
