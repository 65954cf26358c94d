"""What Azure's inference server runs. It answers `POST /score` as the local endpoint does, by the same code.

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
    """Answer one request."""
    answer = script.answer(request.method, request.headers, request.stream)
    return AMLResponse(answer.body, answer.status, {"Content-Type": "application/json"})
