"""Loaded by the schemathesis process: what it must know of this API to get anywhere."""

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("phone", st.integers(0, 9_999_999).map("+97250{:07}".format))
