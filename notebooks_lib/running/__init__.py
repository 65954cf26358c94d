"""Run notebooks: one notebook, one kernel, one tracked run. See `runner.run_notebook`.

papermill imports the Azure SDK, half a second, to read notebooks from addresses that begin with abs://. Without that
module it does without, and nothing here reads one from there.
"""

import sys

sys.modules.setdefault("papermill.abs", None)  # type: ignore[arg-type]
