"""Changes that a study allows when it goes on: keys of later versions are no exception."""

from __future__ import annotations

import pytest

from expand3d.core.errors import StudyError
from expand3d.study.changes import check_resume, differences
from expand3d.study.config import StudyConfig


@pytest.mark.parametrize(("key", "value"), [("init", "./x3d-m"), ("flow", "farneback")])
def test_a_key_that_a_record_may_leave_out_cannot_change(key: str, value: str) -> None:
    plain = StudyConfig(budget="1G", name="mine")
    changed = StudyConfig(budget="1G", name="mine", **{key: value})
    for old, new in ((plain, changed), (changed, plain)):
        assert differences(old, new).refused == (key,)
        with pytest.raises(StudyError, match=f"cannot change {key}"):
            check_resume(old, new)
    assert not differences(changed, changed).refused
