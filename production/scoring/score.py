"""What Azure runs: its inference server for requests, its driver of batch deployments for files of rows.

It answers `POST /score` as the local endpoint does, and scores files as `nbops batch run` does here, by the same code.

It cannot be run by hand: `nbops azure check --scoring MODEL` runs it as Azure would.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("notebooks_lib.zip")))  # nbops puts its own code there

from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

from notebooks_lib.serving.scoring_script import ScoringScript

script = None


def init():
    """Load the model, once for each process of the server."""
    global script
    script = ScoringScript.from_environment(os.environ)


@rawhttp  # so that a refusal has a status and a message of its own
def run(request):
    """Answer one request; or score the files of a mini-batch, whose paths a batch deployment gives as a list."""
    if isinstance(request, list):
        from notebooks_lib.serving.batch import batch_parts

        return batch_parts.score_parts(script.model, request, os.environ)
    answer = script.answer(request.method, request.headers, request.stream)
    return AMLResponse(answer.body, answer.status, {"Content-Type": "application/json"})
